//! Shader assembly: `#import` of named files, each once, `#if FLAG … #else … #endif` over a closed set of flags, and
//! `#repeat i COUNT … #end` for register tiles, which WGSL can neither size nor unroll by itself.
//!
//! In repeated lines `$i` stands for 0, 1, …. A count is a number or the value of a flag `NAME=number`, over a number
//! where `/number` follows; `$NAME` stands for a flag's value anywhere, and `#if NAME` asks whether there is one.
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
    let out = String::with_capacity(source.len() * 4);
    let mut assembly = Assembly { flags, known, library, seen: BTreeSet::new(), out };
    assembly.append(name, source, 1)?;
    Ok(assembly.out)
}

/// What stays the same while files and repetitions nest.
struct Assembly<'a> {
    flags: &'a [&'a str],
    known: &'a [&'a str],
    library: &'a dyn Fn(&str) -> Option<String>,
    seen: BTreeSet<String>,
    out: String,
}

impl Assembly<'_> {
    /// Appends a file, or a repeated part of it whose first line is `first_line`.
    fn append(&mut self, file: &str, source: &str, first_line: usize) -> Result<(), AssemblyError> {
        let lines: Vec<&str> = source.lines().collect();
        // One entry per open condition: does its current branch count?
        let mut open: Vec<bool> = Vec::new();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let number = first_line + at;
            at += 1;
            let fail = |problem: String| Err(AssemblyError { file: file.to_owned(), line: number, problem });
            let mut words = line.split_whitespace();
            let (directive, argument) = (words.next().unwrap_or(""), words.next());
            match (directive, argument) {
                ("#if", Some(flag)) if has(self.known, flag) => open.push(has(self.flags, flag)),
                ("#if", flag) => return fail(format!("unknown flag {flag:?}; known are {:?}", self.known)),
                ("#else", None) => match open.last_mut() {
                    Some(live) => *live = !*live,
                    None => return fail("#else without #if".to_owned()),
                },
                ("#endif", None) => match open.pop() {
                    Some(_) => {}
                    None => return fail("#endif without #if".to_owned()),
                },
                ("#repeat", Some(index)) => {
                    // A branch that does not count may name a flag that is not set.
                    let live = open.iter().all(|live| *live);
                    let count = words.next().and_then(|count| if live { self.count(count) } else { Some(0) });
                    let Some(count) = count else {
                        return fail("#repeat needs a name and a count".to_owned());
                    };
                    let Some(length) = repeated(&lines[at..]) else {
                        return fail("#repeat without #end".to_owned());
                    };
                    let body = lines[at..at + length].join("\n");
                    for turn in 0..count {
                        let text = body.replace(&format!("${index}"), &turn.to_string());
                        self.append(file, &text, number + 1)?;
                    }
                    at += length + 1;
                }
                ("#end", None) => return fail("#end without #repeat".to_owned()),
                ("#import", Some(wanted)) => {
                    let live = open.iter().all(|live| *live);
                    if live && self.seen.insert(wanted.to_owned()) {
                        match (self.library)(wanted) {
                            Some(text) => self.append(wanted, &text, 1)?,
                            None => return fail(format!("no shader file is called {wanted}")),
                        }
                    }
                }
                (word, _) if word.starts_with('#') => return fail(format!("unknown directive {line:?}")),
                _ if open.iter().all(|live| *live) => self.emit(line),
                _ => {}
            }
        }
        if open.is_empty() {
            Ok(())
        } else {
            let line = first_line + lines.len() - 1;
            Err(AssemblyError { file: file.to_owned(), line, problem: "#if without #endif".to_owned() })
        }
    }

    /// Flags with a value.
    fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.flags.iter().filter_map(|flag| flag.split_once('='))
    }

    /// A line with the values of flags put in.
    fn emit(&mut self, line: &str) {
        let mut line = line.to_owned();
        if line.contains('$') {
            for (name, value) in self.values() {
                line = line.replace(&format!("${name}"), value);
            }
        }
        self.out.push_str(&line);
        self.out.push('\n');
    }

    fn count(&self, text: &str) -> Option<u32> {
        let (count, divisor) = text.split_once('/').unwrap_or((text, "1"));
        let value = self.values().find(|(name, _)| *name == count).map_or(count, |(_, value)| value);
        value.parse::<u32>().ok()?.checked_div(divisor.parse().ok()?)
    }
}

/// Whether a flag is among these, by itself or with a value.
fn has(flags: &[&str], flag: &str) -> bool {
    flags.iter().any(|known| *known == flag || known.split_once('=').is_some_and(|(name, _)| name == flag))
}

/// How many lines there are before the `#end` that closes a repetition.
fn repeated(lines: &[&str]) -> Option<usize> {
    let mut depth = 1;
    lines.iter().position(|line| {
        let word = line.split_whitespace().next();
        depth += i32::from(word == Some("#repeat")) - i32::from(word == Some("#end"));
        depth == 0
    })
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
        assemble("test", source, flags, &["X", "Y", "N=3"], &library)
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
    fn repetitions_nest_and_count_with_the_values_of_flags() {
        assert_eq!(run("#repeat i 2\na$i\n#repeat j N\n$j of $N\n#end\n#end\nz", &["N=3"]).unwrap(), {
            let inner = "0 of 3\n1 of 3\n2 of 3\n";
            format!("a0\n{inner}a1\n{inner}z\n")
        });
        assert_eq!(
            run("#repeat i N/3\n$i\n#end\n#if X\n#repeat i N\nx\n#end\n#endif", &["N=3"]).unwrap(),
            "0\n"
        );
        assert_eq!(run("#if N\n#repeat i N\nx\n#end\n#else\n0\n#endif", &[]).unwrap(), "0\n");
    }

    #[test]
    fn a_condition_may_ask_for_any_value_of_a_flag() {
        assert_eq!(run("#if N\n$N\n#else\nnone\n#endif", &["N=3"]).unwrap(), "3\n");
        assert_eq!(run("#if N\n$N\n#else\nnone\n#endif", &[]).unwrap(), "none\n");
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
            ("\n#end", 2),
            ("#repeat i 2", 1),
            ("#repeat i M\n#end", 1),
            ("\n#repeat i 2\nx\n#else\n#end", 4),
        ] {
            assert_eq!(run(source, &["X"]).unwrap_err().line, line, "{source:?}");
        }
    }
}
