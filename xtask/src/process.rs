//! Child processes, where things lie in the workspace, and how a task fails.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Why a task ended early: a sentence for the reader and a status for the shell.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The workspace root: cargo names our own folder when it runs us.
pub(crate) fn workspace_root() -> PathBuf {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest_dir.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo puts dev-profile programs: beside this one.
pub(crate) fn dev_programs() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|e| Failure::new(format!("cannot tell where this program lies: {e}")))?;
    own.parent().map(Path::to_path_buf).ok_or_else(|| Failure::new("this program lies in no folder"))
}

/// The target folder, for files that a rebuild may lose.
pub(crate) fn target_dir() -> Result<PathBuf, Failure> {
    let programs = dev_programs()?;
    programs.parent().map(Path::to_path_buf).ok_or_else(|| Failure::new("the program's folder has no parent"))
}

/// A command that runs in the workspace root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace_root());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What most steps build: one set of packages and features, so that gtca is compiled once for them. Guests of large frameworks
/// would be compiled with them, and are left out.
pub(crate) const PACKAGES: [&str; 5] = ["--workspace", "--exclude", "gtca-burn", "--features", "gtca/peft"];

/// Builds every example and program but this one (Windows locks the file of a running one), with the features of the
/// tests, so that one compilation of wgpu serves all.
pub(crate) fn build_programs() -> Command {
    let mut cargo = cargo();
    cargo.arg("build").args(PACKAGES).args(["--exclude", "xtask", "--bins", "--examples"]);
    cargo
}

/// The command as one would type it.
pub(crate) fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs the command with our terminal; a non-zero exit status becomes a failure with that status.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|e| cannot_start(command, &e))?;
    check(command, status)
}

/// As [`run`], and hands every line of standard output to `each_line` after showing it.
pub(crate) fn run_reading(command: &mut Command, mut each_line: impl FnMut(&str)) -> Result<(), Failure> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|e| cannot_start(command, &e))?;
    let lost = |e: io::Error| Failure::new(format!("lost the output of a step: {e}"));
    if let Some(output) = child.stdout.take() {
        let mut output = BufReader::new(output);
        let mut bytes = Vec::new();
        // Bytes, not `lines()`: a test may print what is not UTF-8, and a partial last line must show too.
        while output.read_until(b'\n', &mut bytes).map_err(lost)? > 0 {
            io::stdout().write_all(&bytes).map_err(lost)?;
            each_line(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
        }
    }
    let status = child.wait().map_err(lost)?;
    check(command, status)
}

/// Whether the command starts and succeeds, with its output thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// Standard output of a command, or nothing if it does not start or fails.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cannot_start(command: &Command, error: &io::Error) -> Failure {
    Failure::new(format!("`{}` does not start: {error}", typed(command)))
}

fn check(command: &Command, status: std::process::ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|&code| code != 0).unwrap_or(1);
    Err(Failure { message: format!("`{}` failed ({status})", typed(command)), code })
}
