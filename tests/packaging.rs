//! What is handed out: the scripts that make static files and Debian packages. A package is made of the program under test and
//! unpacked; that of a static file for every architecture takes too long here, see `docs/install.md` for how it was tried.
//!
//! Needs bash and dpkg-deb.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCANLAB: &str = env!("CARGO_BIN_EXE_scanlab");

/// Runs a program in the project's folder.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("SOURCE_DATE_EPOCH", "1795449690").env("COMPRESSION", "none").env_remove("SCANLAB");
    command.env_remove("DEBFULLNAME").env_remove("DEBEMAIL");
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A package of the program under test.
fn package(folder: &Path) -> PathBuf {
    let folder = folder.to_str().expect("UTF-8");
    PathBuf::from(printed("packaging/deb", &["amd64", SCANLAB, folder]).lines().last().expect("its path"))
}

#[test]
fn a_debian_package_holds_the_program_and_all_that_goes_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path());
    let path = package.to_str().expect("UTF-8");
    let field = |name| printed("dpkg-deb", &["--field", path, name]).trim().to_owned();
    assert_eq!(field("Version"), format!("{}-1", env!("CARGO_PKG_VERSION")));
    assert_eq!([field("Architecture"), field("Depends"), field("Recommends")], ["amd64", "iptables", "nmap"]);

    let contents = printed("dpkg-deb", &["--contents", path]);
    assert!(contents.lines().all(|line| line.contains(" root/root ") && line.contains(" 2026-11-23 ")), "{contents}");
    let root = folder.path().join("root");
    printed("dpkg-deb", &["--extract", path, root.to_str().expect("UTF-8")]);
    for file in [
        "usr/share/man/man1/scanlab.1.gz",
        "usr/share/man/man1/scanlab-run.1.gz",
        "usr/share/bash-completion/completions/scanlab",
        "usr/share/zsh/vendor-completions/_scanlab",
        "usr/share/fish/vendor_completions.d/scanlab.fish",
        "usr/share/doc/scanlab/copyright",
        "usr/share/doc/scanlab/changelog.Debian.gz",
        "usr/share/doc/scanlab/README.md",
        "usr/share/doc/scanlab/examples/sensor-hardened.toml",
    ] {
        let mode = fs::metadata(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}")).permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{file}");
    }
    let program = root.join("usr/bin/scanlab");
    let vendor = printed(program.to_str().expect("UTF-8"), &["vendor", "b8:27:eb:12:34:56"]);
    assert!(vendor.contains("Raspberry Pi Foundation"), "{vendor}");
}

#[test]
fn the_same_input_makes_the_same_package() {
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let bytes = [&one, &other].map(|folder| fs::read(package(folder.path())).expect("the package"));
    assert!(bytes[0] == bytes[1], "two packages differ");
}

#[test]
fn bad_usage_of_the_scripts_is_status_2_and_makes_nothing() {
    for (script, arguments) in [
        ("packaging/static", &[][..]),
        ("packaging/static", &["riscv64"]),
        ("packaging/deb", &[]),
        ("packaging/deb", &["riscv64", SCANLAB]),
        ("packaging/deb", &["amd64", "/nowhere"]),
        ("packaging/deb", &["amd64", SCANLAB, "/nowhere"]),
    ] {
        let output = run(script, arguments);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{script} {arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: "), "{output:?}");
    }
    for script in ["packaging/static", "packaging/deb"] {
        assert!(run("bash", &["-n", script]).status.success(), "{script}");
    }
}
