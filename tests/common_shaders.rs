//! Every file of `shaders/common` and `shaders/records` is valid WGSL together with its imports.

use std::path::Path;

fn shaders() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders")
}

/// A file of that name.
fn library(name: &str) -> Option<String> {
    match name {
        "records/fields" => Some(gtca::records::wgsl_constants()),
        _ => std::fs::read_to_string(shaders().join(format!("{name}.wgsl"))).ok(),
    }
}

/// What a kernel gives to `records/load`.
const RECORD_WORD: &str = "fn record_word(word: u32, sample: u32) -> u32 { return word ^ sample; }";

/// What a kernel gives to `common/cells`.
const SUMS: &str = "@group(0) @binding(0) var<storage, read_write> sums: array<atomic<u32>>;";

/// What a kernel gives to `common/wide`.
const WIDE: &str = "@group(0) @binding(1) var<storage, read> wide: array<Stored>;";

#[test]
fn every_shared_file_parses_and_validates_with_its_imports() {
    for room in ["common", "records"] {
        for entry in std::fs::read_dir(shaders().join(room)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{room}/{}", path.file_stem().unwrap().to_str().unwrap());
            let import = format!("#import {name}");
            let mut text = gtca::gpu::assemble(&name, &import, &[], gtca::gpu::FLAGS, &library).unwrap();
            if text.contains("record_word(") {
                text.push_str(RECORD_WORD);
            }
            if text.contains("&sums[") {
                text.push_str(SUMS);
            }
            if text.contains(" wide[") {
                text.push_str(WIDE);
            }
            let module = naga::front::wgsl::parse_str(&text)
                .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
            naga::valid::Validator::new(
                naga::valid::ValidationFlags::all(),
                naga::valid::Capabilities::SHADER_INT64,
            )
            .validate(&module)
            .unwrap_or_else(|error| panic!("{name}: {}", error.emit_to_string(&text)));
        }
    }
}
