//! SwiftShader, a second and independent software Vulkan driver, without installing the browser that ships it.
//!
//! Debian packs `libvk_swiftshader.so` with Chromium. The package is downloaded and unpacked below the target
//! folder, and a manifest written there points the Vulkan loader at the library.

use crate::driver;
use crate::process::{self, Failure};
use std::path::{Path, PathBuf};

const LIBRARY: &str = "libvk_swiftshader.so";
const MANIFEST: &str = "vk_swiftshader_icd.json";
/// Packages that hold the library, most likely first; the second is larger, and held it in older releases.
const PACKAGES: [&str; 2] = ["chromium-common", "chromium"];

pub(crate) fn run(options: &driver::Options) -> Result<(), Failure> {
    let manifest = ensure(options)?;
    println!(
        "SwiftShader is ready. Run the GPU suite on it with\n\n    cargo xtask test --adapter swiftshader\n"
    );
    println!("or put this in front of any program that uses gtca:\n\n    {}\n", environment_line(&manifest));
    Ok(())
}

/// The variables that make the Vulkan loader see this driver and no other. Loaders before 1.3.207 know the second.
pub(crate) fn environment(manifest: &Path) -> [(&'static str, &Path); 2] {
    [("VK_DRIVER_FILES", manifest), ("VK_ICD_FILENAMES", manifest)]
}

/// Fetches the library unless it is there, and returns its manifest.
pub(crate) fn ensure(options: &driver::Options) -> Result<PathBuf, Failure> {
    let folder = process::target_dir()?.join("swiftshader");
    let (library, manifest) = (folder.join(LIBRARY), folder.join(MANIFEST));
    if !library.exists() {
        if !driver::is_debian() {
            let advice = format!(
                "copy {LIBRARY} from any Chromium or Chrome to {} and run this again",
                folder.display()
            );
            return Err(Failure::new(format!("SwiftShader is fetched on Debian only: {advice}")));
        }
        // The loader comes with the ordinary driver.
        driver::ensure(options)?;
        fetch(&folder, options)?;
    }
    let text = format!(
        r#"{{"file_format_version": "1.0.0", "ICD": {{"library_path": "./{LIBRARY}", "api_version": "1.3.0"}}}}"#
    );
    write(&manifest, &(text + "\n"))?;
    Ok(manifest)
}

fn environment_line(manifest: &Path) -> String {
    let variables = environment(manifest).map(|(name, path)| format!("{name}={}", path.display()));
    format!("{} GTCA_ADAPTER=SwiftShader", variables.join(" "))
}

fn fetch(folder: &Path, options: &driver::Options) -> Result<(), Failure> {
    let unpacked = folder.join("unpacked");
    for package in PACKAGES {
        remove(&unpacked)?;
        std::fs::create_dir_all(&unpacked).map_err(|e| cannot("create", &unpacked, &e))?;
        println!("swiftshader: downloading {package} (tens of megabytes; nothing gets installed)");
        download(package, &unpacked, options)?;
        let archives = files_below(&unpacked, &|name| name.ends_with(".deb"));
        let archive =
            archives.first().ok_or_else(|| Failure::new(format!("apt-get downloaded no {package}")))?;
        process::run(process::command("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
        if let Some(found) = files_below(&unpacked, &|name| name == LIBRARY).first() {
            std::fs::rename(found, folder.join(LIBRARY)).map_err(|e| cannot("move", found, &e))?;
            return remove(&unpacked);
        }
    }
    let advice =
        format!("copy the file from any Chromium or Chrome to {} and run this again", folder.display());
    Err(Failure::new(format!("no {LIBRARY} in this release's {}: {advice}", PACKAGES.join(", "))))
}

/// `apt-get download` needs no rights; only lists that are missing or old need an update, which does.
fn download(package: &str, into: &Path, options: &driver::Options) -> Result<(), Failure> {
    let try_once = || process::run(process::command("apt-get").args(["download", package]).current_dir(into));
    let Err(failure) = try_once() else { return Ok(()) };
    let Some(sudo) = driver::apt_privilege(options) else { return Err(failure) };
    driver::apt_get(sudo, &["update"])?;
    try_once()
}

fn files_below(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for path in entries {
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path, wanted));
        } else if path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())) {
            found.push(path);
        }
    }
    found
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| cannot("write", path, &e))
}

fn remove(folder: &Path) -> Result<(), Failure> {
    if !folder.exists() {
        return Ok(());
    }
    std::fs::remove_dir_all(folder).map_err(|e| cannot("remove", folder, &e))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_the_manifest_for_old_and_new_loaders() {
        let line = environment_line(Path::new("/t/icd.json"));
        assert_eq!(line, "VK_DRIVER_FILES=/t/icd.json VK_ICD_FILENAMES=/t/icd.json GTCA_ADAPTER=SwiftShader");
    }
}
