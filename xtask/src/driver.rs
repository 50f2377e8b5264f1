//! Is there a Vulkan driver, and if not, how does one get it?
//!
//! The Vulkan loader finds drivers by manifests, small JSON files in a list of folders. Looking at them (and for the
//! loader itself) answers the question without linking Vulkan into this program. The judgement is a pure function
//! of a described [`System`], so that the tests can describe machines nobody has at hand.

use crate::process::{self, Failure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The packages of Debian and Ubuntu that bring lavapipe, a Vulkan driver for the CPU, and the loader.
const DEBIAN_PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// How the driver set-up behaves.
#[derive(clap::Args)]
// Part of several commands' options, where a second group of this name would clash.
#[group(skip)]
pub(crate) struct Options {
    /// Never install packages: print the line to type instead
    #[arg(long)]
    pub(crate) no_install: bool,
}

/// What the judgement looks at.
#[derive(Clone, Debug)]
struct System {
    os: Os,
    /// Driver manifests that exist, for this processor.
    manifests: Vec<PathBuf>,
    /// Files that `VK_DRIVER_FILES` or `VK_ICD_FILENAMES` names; the loader then looks at nothing else.
    named: Option<Vec<PathBuf>>,
    /// libvulkan.so.1 can be loaded.
    loader: bool,
    /// A graphics device node exists, so that a hardware driver has something to drive.
    hardware: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Os {
    Linux(Distribution),
    Windows,
    Mac,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    Debian,
    Fedora,
    Arch,
    Suse,
    Alpine,
    Unknown,
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// Nothing, for this reason.
    Ready(String),
    /// A driver is to be installed, for this reason.
    Missing(String),
    /// Installing would not help: the reader's own settings stand in the way.
    Misled(String),
}

/// Who may install packages here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Privilege {
    Root,
    /// `sudo` that asks for no password.
    Sudo,
    None,
}

/// Makes sure that a driver is there: finds one, installs one, or says what to type.
pub(crate) fn ensure(options: &Options) -> Result<(), Failure> {
    let system = System::of_this_machine();
    let reason = match judge(&system) {
        Finding::Ready(what) => {
            println!("driver: {what}");
            return Ok(());
        }
        Finding::Misled(why) => return Err(Failure::new(why)),
        Finding::Missing(reason) => reason,
    };
    let line = line_to_type(system.os);
    if system.os != Os::Linux(Distribution::Debian) {
        return Err(Failure::new(format!(
            "{reason}. Install a software driver, then run this again:\n\n    {line}\n"
        )));
    }
    let sudo: &[&str] = match privilege() {
        _ if options.no_install => return Err(Failure::new(format!("{reason}. Type\n\n    {line}\n"))),
        Privilege::None => {
            let why = "and installing one needs root or a sudo without password";
            return Err(Failure::new(format!("{reason}, {why}. Type\n\n    {line}\n")));
        }
        Privilege::Root => &[],
        Privilege::Sudo => &["sudo", "-n"],
    };
    println!("driver: {reason}; installing the software driver ({})", DEBIAN_PACKAGES.join(", "));
    apt_get(sudo, &["update"])?;
    apt_get(sudo, &[&["install", "-y", "--no-install-recommends"], &DEBIAN_PACKAGES[..]].concat())?;
    match judge(&System::of_this_machine()) {
        Finding::Ready(what) => {
            println!("driver: {what}");
            Ok(())
        }
        Finding::Missing(why) | Finding::Misled(why) => {
            Err(Failure::new(format!("the packages were installed, but still {why}")))
        }
    }
}

/// Whether apt-get may be used here, and in front of it what.
pub(crate) fn apt_privilege(options: &Options) -> Option<&'static [&'static str]> {
    match privilege() {
        _ if options.no_install => None,
        Privilege::Root => Some(&[]),
        Privilege::Sudo => Some(&["sudo", "-n"]),
        Privilege::None => None,
    }
}

/// Runs `apt-get`, behind `sudo` where that is the way to root.
pub(crate) fn apt_get(sudo: &[&str], args: &[&str]) -> Result<(), Failure> {
    let words: Vec<&str> = [sudo, &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"], args].concat();
    process::run(process::command(words[0]).args(&words[1..]))
}

/// Whether this machine is Debian or one of its children, where `apt-get` is at home.
pub(crate) fn is_debian() -> bool {
    this_os() == Os::Linux(Distribution::Debian)
}

fn judge(system: &System) -> Finding {
    match system.os {
        Os::Windows => {
            return Finding::Ready("DX12, with WARP where there is no GPU; nothing to install".into());
        }
        Os::Mac => return Finding::Ready("Metal; nothing to install".into()),
        Os::Other => {
            return Finding::Ready("unknown operating system; taking it that a driver is there".into());
        }
        Os::Linux(_) => {}
    }
    if let Some(named) = &system.named {
        if let Some(absent) = named.iter().find(|path| !system.manifests.contains(path)) {
            let path = absent.display();
            let rule = "Vulkan looks only at the manifests that VK_DRIVER_FILES (or VK_ICD_FILENAMES) names";
            return Finding::Misled(format!(
                "{rule}, and {path} does not exist: correct or unset the variable"
            ));
        }
    }
    let usable = system.manifests.iter().find(|path| is_software(path)).or_else(|| {
        // Mesa installs the manifests of all its hardware drivers at once, so without a device they say nothing,
        // unless the reader chose one by name.
        system.manifests.first().filter(|_| system.hardware || system.named.is_some())
    });
    match usable {
        Some(manifest) if system.loader => Finding::Ready(format!("Vulkan, by {}", manifest.display())),
        Some(_) => Finding::Missing("there is a Vulkan driver but no Vulkan loader (libvulkan.so.1)".into()),
        None if system.manifests.is_empty() => {
            Finding::Missing("there is no Vulkan driver on this machine".into())
        }
        None => Finding::Missing(
            "there are Vulkan drivers for graphics hardware but there is no such hardware".into(),
        ),
    }
}

fn is_software(manifest: &Path) -> bool {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("lvp_icd") || name.starts_with("vk_swiftshader")
}

fn line_to_type(os: Os) -> String {
    let Os::Linux(distribution) = os else { return "nothing to install".into() };
    match distribution {
        Distribution::Debian => {
            let packages = DEBIAN_PACKAGES.join(" ");
            format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}")
        }
        Distribution::Fedora => "sudo dnf install -y mesa-vulkan-drivers vulkan-loader".into(),
        Distribution::Arch => "sudo pacman -S --needed vulkan-swrast vulkan-icd-loader".into(),
        Distribution::Suse => "sudo zypper install -y libvulkan_lvp libvulkan1".into(),
        Distribution::Alpine => "sudo apk add mesa-vulkan-swrast vulkan-loader".into(),
        Distribution::Unknown => {
            "(your distribution's package of Mesa's lavapipe driver and of the Vulkan loader)".into()
        }
    }
}

impl System {
    fn of_this_machine() -> Self {
        let os = this_os();
        if !matches!(os, Os::Linux(_)) {
            return Self { os, manifests: Vec::new(), named: None, loader: true, hardware: true };
        }
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let named = env("VK_DRIVER_FILES").or_else(|| env("VK_ICD_FILENAMES")).map(|list| split_paths(&list));
        let searched = named.clone().unwrap_or_else(|| manifest_folders(env));
        let added = env("VK_ADD_DRIVER_FILES").map(|list| split_paths(&list)).unwrap_or_default();
        let manifests = manifests_in(added.iter().chain(&searched));
        // A named folder stands for the manifests in it.
        let named = named.map(|paths| paths.into_iter().filter(|path| !path.is_dir()).collect());
        Self { os, manifests, named, loader: loader_exists(), hardware: graphics_device_exists() }
    }
}

fn this_os() -> Os {
    match std::env::consts::OS {
        "linux" => {
            let read = |path| std::fs::read_to_string(path).ok();
            Os::Linux(distribution(
                &read("/etc/os-release").or_else(|| read("/usr/lib/os-release")).unwrap_or_default(),
            ))
        }
        "windows" => Os::Windows,
        "macos" => Os::Mac,
        _ => Os::Other,
    }
}

/// The family that `ID` or `ID_LIKE` of os-release names.
fn distribution(os_release: &str) -> Distribution {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_lowercase())
    };
    let ids = [value("ID"), value("ID_LIKE")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let family = ids.split_whitespace().find_map(|id| match id {
        "debian" | "ubuntu" => Some(Distribution::Debian),
        "fedora" | "rhel" | "centos" => Some(Distribution::Fedora),
        "arch" => Some(Distribution::Arch),
        "suse" | "opensuse" => Some(Distribution::Suse),
        "alpine" => Some(Distribution::Alpine),
        _ => None,
    });
    family.unwrap_or(Distribution::Unknown)
}

/// The folders that the Vulkan loader searches on Linux, in its order.
fn manifest_folders(env: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let in_home = |below: &str| env("HOME").map(|home| format!("{home}/{below}"));
    let config_home = env("XDG_CONFIG_HOME").or_else(|| in_home(".config"));
    let config_dirs = env("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    let data_home = env("XDG_DATA_HOME").or_else(|| in_home(".local/share"));
    let data_dirs = env("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    let lists =
        [config_home, Some(config_dirs), Some("/usr/local/etc:/etc".into()), data_home, Some(data_dirs)];
    let folders = lists.iter().flatten().flat_map(|list| split_paths(list));
    folders.map(|folder| folder.join("vulkan/icd.d")).collect()
}

fn split_paths(list: &str) -> Vec<PathBuf> {
    list.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// The manifests among `paths`, each a file or a folder of them.
fn manifests_in<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_file() {
            found.push(path.clone());
        } else if let Ok(entries) = std::fs::read_dir(path) {
            let files: BTreeSet<_> = entries.flatten().map(|entry| entry.path()).collect();
            found.extend(files.into_iter().filter(|file| is_manifest(file)));
        }
    }
    found
}

/// A JSON file that does not name another processor in the way of `lvp_icd.i686.json`.
fn is_manifest(file: &Path) -> bool {
    let processors =
        ["i386", "i586", "i686", "x86_64", "armv7hl", "armv7l", "aarch64", "riscv64", "ppc64le", "s390x"];
    let processor = file.file_stem().map(Path::new).and_then(Path::extension).and_then(|p| p.to_str());
    let ours = processor.is_none_or(|p| !processors.contains(&p) || p == std::env::consts::ARCH);
    file.extension().is_some_and(|extension| extension == "json") && ours
}

fn loader_exists() -> bool {
    const LOADER: &str = "libvulkan.so.1";
    let arch = std::env::consts::ARCH;
    let mut folders: Vec<PathBuf> =
        std::env::var("LD_LIBRARY_PATH").map(|list| split_paths(&list)).unwrap_or_default();
    folders.extend(["/usr/lib", "/lib", "/usr/local/lib"].map(PathBuf::from));
    folders.extend(["/usr/lib64", "/lib64"].map(PathBuf::from));
    folders
        .extend([format!("/usr/lib/{arch}-linux-gnu"), format!("/lib/{arch}-linux-gnu")].map(PathBuf::from));
    let in_folder = folders.iter().any(|folder| folder.join(LOADER).exists());
    // The linker's cache may outlive a removed file, so the file it points at must be there.
    let in_cache = || {
        let cache = process::output_of(Command::new("/sbin/ldconfig").arg("-p")).unwrap_or_default();
        cache.lines().any(|line| {
            line.split_once(" => ")
                .is_some_and(|(name, path)| name.contains(LOADER) && Path::new(path).exists())
        })
    };
    in_folder || in_cache()
}

/// Render nodes, NVIDIA's own nodes, and the one of Windows' Linux subsystem.
fn graphics_device_exists() -> bool {
    let render_node = std::fs::read_dir("/dev/dri").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("renderD"))
    });
    render_node || ["/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"].iter().any(|node| Path::new(node).exists())
}

fn privilege() -> Privilege {
    let root = process::output_of(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if root {
        Privilege::Root
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAVAPIPE: &str = "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json";
    const RADEON: &str = "/usr/share/vulkan/icd.d/radeon_icd.x86_64.json";

    fn debian(manifests: &[&str]) -> System {
        System {
            os: Os::Linux(Distribution::Debian),
            manifests: manifests.iter().map(PathBuf::from).collect(),
            named: None,
            loader: true,
            hardware: false,
        }
    }

    fn is_missing(system: &System) -> bool {
        matches!(judge(system), Finding::Missing(_))
    }

    #[test]
    fn a_software_driver_with_the_loader_is_enough() {
        assert_eq!(judge(&debian(&[RADEON, LAVAPIPE])), Finding::Ready(format!("Vulkan, by {LAVAPIPE}")));
    }

    #[test]
    fn a_bare_machine_lacks_a_driver() {
        assert!(is_missing(&debian(&[])));
    }

    #[test]
    fn a_driver_without_the_loader_is_not_enough() {
        assert!(is_missing(&System { loader: false, ..debian(&[LAVAPIPE]) }));
    }

    #[test]
    fn a_hardware_driver_counts_only_beside_hardware() {
        assert!(is_missing(&debian(&[RADEON])));
        assert!(!is_missing(&System { hardware: true, ..debian(&[RADEON]) }));
    }

    #[test]
    fn a_manifest_named_by_the_reader_is_trusted() {
        let named = Some(vec![PathBuf::from(RADEON)]);
        assert_eq!(
            judge(&System { named, ..debian(&[RADEON]) }),
            Finding::Ready(format!("Vulkan, by {RADEON}"))
        );
    }

    #[test]
    fn a_named_manifest_that_does_not_exist_is_not_cured_by_installing() {
        let named = Some(vec![PathBuf::from("/nowhere/icd.json")]);
        let finding = judge(&System { named, ..debian(&[]) });
        assert!(matches!(&finding, Finding::Misled(why) if why.contains("/nowhere/icd.json")), "{finding:?}");
    }

    #[test]
    fn windows_and_macos_have_nothing_to_install() {
        for os in [Os::Windows, Os::Mac] {
            let system = System { os, loader: false, ..debian(&[]) };
            assert!(matches!(judge(&system), Finding::Ready(_)));
        }
    }

    #[test]
    fn os_release_names_the_family() {
        let cases = [
            ("ID=debian\n", Distribution::Debian),
            ("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n", Distribution::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Distribution::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Distribution::Fedora),
            ("ID=manjaro\nID_LIKE=arch\n", Distribution::Arch),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", Distribution::Suse),
            ("ID=nixos\n", Distribution::Unknown),
            ("", Distribution::Unknown),
        ];
        for (text, family) in cases {
            assert_eq!(distribution(text), family, "{text:?}");
        }
    }

    #[test]
    fn the_xdg_variables_move_the_search() {
        let folders = manifest_folders(|name| match name {
            "HOME" => Some("/users/a".into()),
            "XDG_DATA_DIRS" => Some("/one::/two".into()),
            _ => None,
        });
        let expected = [
            "/users/a/.config",
            "/etc/xdg",
            "/usr/local/etc",
            "/etc",
            "/users/a/.local/share",
            "/one",
            "/two",
        ];
        assert_eq!(folders, expected.map(|folder| PathBuf::from(folder).join("vulkan/icd.d")));
    }

    #[test]
    fn a_manifest_for_another_processor_is_passed_over() {
        let other = if std::env::consts::ARCH == "x86_64" { "aarch64" } else { "x86_64" };
        assert!(!is_manifest(Path::new(&format!("lvp_icd.{other}.json"))));
        assert!(is_manifest(Path::new(&format!("lvp_icd.{}.json", std::env::consts::ARCH))));
        assert!(is_manifest(Path::new("nvidia_icd.json")));
        assert!(!is_manifest(Path::new("readme.txt")));
    }

    #[test]
    fn the_line_to_type_fits_the_distribution() {
        assert!(
            line_to_type(Os::Linux(Distribution::Debian))
                .contains("apt-get install -y --no-install-recommends")
        );
        assert!(line_to_type(Os::Linux(Distribution::Fedora)).contains("dnf"));
        assert!(line_to_type(Os::Linux(Distribution::Arch)).contains("pacman"));
    }
}
