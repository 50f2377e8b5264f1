//! README's table of encoding schemes is the code's; `cargo xtask schemes` writes it.

use gtca::encode::{SchemeInfo, schemes};

const MARKERS: [&str; 2] = ["<!-- schemes -->\n", "<!-- /schemes -->"];

/// GitHub's repositories become links.
fn linked(source: &str) -> String {
    let link = |part: &str| match part.split_once('@') {
        Some((repository, commit)) => {
            let (_, name) = repository.split_once('/').unwrap_or(("", repository));
            format!("[{name}@{commit}](https://github.com/{repository}/tree/{commit})")
        }
        None => part.to_owned(),
    };
    source.split(", ").map(link).collect::<Vec<_>>().join(", ")
}

fn row(scheme: &SchemeInfo) -> String {
    let SchemeInfo { system, block, reads, source, worst_error, backward, .. } = scheme;
    format!("| {system} | `{block}` | {reads} | {} | {worst_error} | {backward} |\n", linked(source))
}

fn table() -> String {
    let rows = schemes().iter().map(row).collect::<String>();
    format!(
        "| system | `Block::` | reads | source | error | gradient of |\n|---|---|---|---|---|---|\n{rows}"
    )
}

#[test]
fn the_table_of_schemes_is_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let (before, rest) = readme.split_once(MARKERS[0]).unwrap();
    let (written, after) = rest.split_once(MARKERS[1]).unwrap();
    let table = table();
    if std::env::var_os("GTCA_WRITE_README").is_some() {
        std::fs::write(path, [before, MARKERS[0], &table, MARKERS[1], after].concat()).unwrap();
    } else {
        assert_eq!(written, table, "README.md differs from the code; `cargo xtask schemes` writes it");
    }
}
