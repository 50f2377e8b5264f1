//! Every file of `shaders/common` and `shaders/records` is valid WGSL together with its imports.

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
    let text = match name {
        "records/fields" => gtca::records::wgsl_constants(),
        _ => std::fs::read_to_string(shaders().join(format!("{name}.wgsl"))).unwrap(),
    };
    let (imports, body): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("#import "));
    for import in imports {
        with_imports(import.trim_start_matches("#import ").trim(), seen, out);
    }
    out.push_str(&body.join("\n"));
    out.push('\n');
}

/// What a kernel gives to `records/load`.
const RECORD_WORD: &str = "fn record_word(word: u32, sample: u32) -> u32 { return word ^ sample; }";

/// What a kernel gives to `common/cells`.
const SUMS: &str = "@group(0) @binding(0) var<storage, read_write> sums: array<atomic<u32>>;";

#[test]
fn every_shared_file_parses_and_validates_with_its_imports() {
    for room in ["common", "records"] {
        for entry in std::fs::read_dir(shaders().join(room)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{room}/{}", path.file_stem().unwrap().to_str().unwrap());
            let mut text = String::new();
            with_imports(&name, &mut BTreeSet::new(), &mut text);
            if text.contains("record_word(") {
                text.push_str(RECORD_WORD);
            }
            if text.contains("&sums[") {
                text.push_str(SUMS);
            }
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
            naga::valid::Validator::new(
                naga::valid::ValidationFlags::all(),
                naga::valid::Capabilities::empty(),
            )
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
        }
    }
}
