//! Every file of `shaders/common` is valid WGSL together with its imports.

use std::collections::BTreeSet;
use std::path::Path;

fn shaders() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders")
}

/// The file's text after that of its imports, each once.
fn with_imports(name: &str, seen: &mut BTreeSet<String>, out: &mut String) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let text = std::fs::read_to_string(shaders().join(format!("{name}.wgsl"))).unwrap();
    let (imports, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("#import "));
    for import in imports {
        with_imports(import.trim_start_matches("#import ").trim(), seen, out);
    }
    out.push_str(&body.join("\n"));
    out.push('\n');
}

#[test]
fn every_common_file_parses_and_validates_with_its_imports() {
    let mut count = 0;
    for entry in std::fs::read_dir(shaders().join("common")).unwrap() {
        let stem = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let mut text = String::new();
        with_imports(&format!("common/{stem}"), &mut BTreeSet::new(), &mut text);
        let module = naga::front::wgsl::parse_str(&text)
            .unwrap_or_else(|error| panic!("{stem}: {}", error.emit_to_string(&text)));
        naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty())
            .validate(&module)
            .unwrap_or_else(|error| panic!("{stem}: {}", error.emit_to_string(&text)));
        count += 1;
    }
    assert!(count > 0);
}
