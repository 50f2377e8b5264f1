//! Shader assembly: `#import` of named files, each once, and `#if FLAG … #else … #endif` over a closed set of flags.
//!
//! Files stay valid WGSL apart from those lines, which keep their own line so that editors and error messages
//! still help. `docs/DESIGN.md` says why this is not the `wesl` crate.

use std::collections::BTreeSet;

/// What an import or condition can get wrong; a bug in a shipped shader, found by the shader tests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct AssemblyError {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Assembles `source` (called `name` in messages) with its imports under the given flags.
///
/// `library` finds an imported file by name; `known` is the closed set of flags that a condition may name.
///
/// ```
/// let library = |name: &str| (name == "common/two").then(|| "const TWO = 2u;".to_owned());
/// let text = gtca::gpu::assemble("demo", "#import common/two\n#if FAST\nconst N = TWO;\n#endif", &["FAST"], &["FAST"], &library);
/// assert!(text.unwrap().contains("const TWO = 2u;"));
/// ```
pub fn assemble(
    name: &str,
    source: &str,
    flags: &[&str],
    known: &[&str],
    library: &dyn Fn(&str) -> Option<String>,
) -> Result<String, AssemblyError> {
    let mut out = String::with_capacity(source.len() * 4);
    append(name, source, flags, known, library, &mut BTreeSet::new(), &mut out)?;
    Ok(out)
}

fn append(
    file: &str,
    source: &str,
    flags: &[&str],
    known: &[&str],
    library: &dyn Fn(&str) -> Option<String>,
    seen: &mut BTreeSet<String>,
    out: &mut String,
) -> Result<(), AssemblyError> {
    // One entry per open condition: does its current branch count?
    let mut open: Vec<bool> = Vec::new();
    let mut last = 0;
    for (index, line) in source.lines().enumerate() {
        last = index + 1;
        let fail = |problem: String| Err(AssemblyError { file: file.to_owned(), line: index + 1, problem });
        let mut words = line.split_whitespace();
        let (directive, argument) = (words.next().unwrap_or(""), words.next());
        match (directive, argument) {
            ("#if", Some(flag)) if known.contains(&flag) => open.push(flags.contains(&flag)),
            ("#if", flag) => return fail(format!("unknown flag {flag:?}; known are {known:?}")),
            ("#else", None) => match open.last_mut() {
                Some(live) => *live = !*live,
                None => return fail("#else without #if".to_owned()),
            },
            ("#endif", None) => match open.pop() {
                Some(_) => {}
                None => return fail("#endif without #if".to_owned()),
            },
            ("#import", Some(wanted)) => {
                let live = open.iter().all(|live| *live);
                if live && seen.insert(wanted.to_owned()) {
                    match library(wanted) {
                        Some(text) => append(wanted, &text, flags, known, library, seen, out)?,
                        None => return fail(format!("no shader file is called {wanted}")),
                    }
                }
            }
            (word, _) if word.starts_with('#') => return fail(format!("unknown directive {line:?}")),
            _ if open.iter().all(|live| *live) => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(AssemblyError { file: file.to_owned(), line: last, problem: "#if without #endif".to_owned() })
    }
}

/// The variant for inputs and outputs inside one buffer: WebGPU's usage rules then want every binding writable.
pub(crate) fn make_all_writable(text: &str) -> String {
    text.replace("var<storage, read>", "var<storage, read_write>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn library(name: &str) -> Option<String> {
        match name {
            "a" => Some("#import b\nconst A = 1u;".to_owned()),
            "b" => Some("const B = 2u;".to_owned()),
            _ => None,
        }
    }

    fn run(source: &str, flags: &[&str]) -> Result<String, AssemblyError> {
        assemble("test", source, flags, &["X", "Y"], &library)
    }

    #[test]
    fn an_import_is_transitive_and_happens_once() {
        assert_eq!(
            run("#import a\n#import b\nfn f() {}", &[]).unwrap(),
            "const B = 2u;\nconst A = 1u;\nfn f() {}\n"
        );
    }

    #[test]
    fn conditions_nest_and_choose_one_branch() {
        let source = "#if X\n#if Y\nxy\n#else\nx\n#endif\n#else\nnone\n#endif";
        assert_eq!(run(source, &["X", "Y"]).unwrap(), "xy\n");
        assert_eq!(run(source, &["X"]).unwrap(), "x\n");
        assert_eq!(run(source, &["Y"]).unwrap(), "none\n");
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (source, line) in [
            ("\n#import zzz", 2),
            ("#if Z\n#endif", 1),
            ("#if X", 1),
            ("x\n#endif", 2),
            ("#else", 1),
            ("#what", 1),
        ] {
            assert_eq!(run(source, &["X"]).unwrap_err().line, line, "{source:?}");
        }
    }
}
