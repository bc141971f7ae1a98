//! The distributed files: the scripts that build static files and Debian packages. A package of the program under test
//! is built and unpacked; that of a static file for every architecture takes too long here, see `docs/install.md` for
//! how it was tested.
//!
//! And the crates that go into it: their licences, their versions and the Rust that they require. Advisories are
//! checked by `.ci/run`, since their database is not in the registry.
//!
//! Needs bash and dpkg-deb.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

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

/// The crates of the program and its tests on Linux, as cargo has locked them.
fn crates() -> Vec<Value> {
    let arguments = ["metadata", "--locked", "--format-version=1", "--filter-platform=x86_64-unknown-linux-gnu"];
    let metadata: Value = serde_json::from_str(&printed(env!("CARGO"), &arguments)).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Licences under which a program under MIT or Apache-2.0 may be handed out with no duty but to name them.
const PERMISSIVE: [&str; 3] = ["MIT", "Apache-2.0", "ISC"];

/// True if one of the alternative licences is permissive, and each that is required in addition.
fn is_permissive(licence: &str) -> bool {
    let choice = licence.strip_suffix(" AND Unicode-3.0").unwrap_or(licence).trim_matches(['(', ')']);
    choice.split(" OR ").flat_map(|one| one.split('/')).any(|one| PERMISSIVE.contains(&one))
}

#[test]
fn each_crate_has_a_licence_to_choose_that_is_permissive() {
    for (licence, permissive) in [
        ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("GPL-3.0", false),
        ("MIT AND GPL-3.0", false),
        ("", false),
    ] {
        assert_eq!(is_permissive(licence), permissive, "{licence}");
    }
    let packages = crates();
    let others = packages.iter().filter(|package| !is_permissive(text(package, "license")));
    let others: Vec<String> = others.map(|package| format!("{} {}", package["name"], package["license"])).collect();
    assert!(others.is_empty(), "{others:#?}");
}

/// syn 3 is new, and not all procedural macros use it.
const SEVERAL_VERSIONS: [&str; 1] = ["syn"];

#[test]
fn each_crate_is_in_the_tree_once_and_from_the_registry() {
    let packages = crates();
    let mut names: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    names.sort_unstable();
    let mut several: Vec<&str> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| two[0]).collect();
    several.dedup();
    assert_eq!(several, SEVERAL_VERSIONS);
    let elsewhere = packages.iter().filter(|package| !text(package, "source").starts_with("registry+"));
    assert_eq!(elsewhere.map(|package| text(package, "name")).collect::<Vec<_>>(), ["scanlab", "scanlab-fuzz"]);
}

#[test]
fn no_crate_requires_a_later_rust_than_scanlab() {
    let minor = |package: &Value| {
        let version = text(package, "rust_version").to_owned();
        version.strip_prefix("1.").map_or(0, |rest| rest.split('.').next().expect("a part").parse().expect("a number"))
    };
    let packages = crates();
    let own: u32 = packages.iter().find(|package| text(package, "name") == "scanlab").map(minor).expect("scanlab");
    let later: Vec<&str> =
        packages.iter().filter(|package| minor(package) > own).map(|package| text(package, "name")).collect();
    assert!(later.is_empty(), "these require a later Rust than 1.{own}: {later:?}");
}
