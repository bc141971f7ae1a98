//! An ordinary user on this machine, with the TUN device as some distributions have it: for all users, for root only,
//! or missing. The machine's own /dev is not changed: the user runs in a mount namespace.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Unused user IDs; [`KILLED`], [`STARVED`] and those after it are used by a single test each.
pub const USER: u32 = 64_738;
pub const KILLED: u32 = 64_739;
pub const STARVED: u32 = 64_740;

/// `/dev/net/tun` of the user.
#[derive(Debug, Clone, Copy)]
pub enum Tun {
    ForEverybody,
    ForRoot,
    Missing,
}

/// A folder that the user can read, with a copy of the program, since its build folder may be closed to others.
pub struct Home {
    folder: TempDir,
    user: u32,
}

impl Home {
    pub fn new(user: u32, files: &[(&str, &str)]) -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("open the folder");
        // Another process copies it: a file that this process has open for writing would also be open in a child of
        // another thread until its exec, and could not be run meanwhile (ETXTBSY, execve(2)).
        let copy = Command::new("cp").arg(env!("CARGO_BIN_EXE_scanlab")).arg(folder.path().join("scanlab")).status();
        assert!(copy.expect("cp").success(), "scanlab is copied");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("write a file");
        }
        Home { folder, user }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn program(&self) -> PathBuf {
        self.path().join("scanlab")
    }

    /// Runs `scanlab` as root.
    pub fn as_root(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments);
        self.at_home(command)
    }

    /// Runs `scanlab` as the user: without capabilities, and without a way to get one.
    pub fn as_user(&self, tun: Tun, arguments: &[&str]) -> Command {
        let device = match tun {
            Tun::ForEverybody => "mknod -m 666 /dev/net/tun c 10 200",
            Tun::ForRoot => "mknod -m 600 /dev/net/tun c 10 200",
            Tun::Missing => "true",
        };
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            &format!("mount -t tmpfs none /dev/net && {device} && exec \"$@\""),
            "sh",
        ]);
        command.args(self.become_the_user()).arg(self.program()).args(arguments);
        self.at_home(command)
    }

    /// Like [`Home::as_user`], in a user namespace in which no other can be created: root of that namespace has no
    /// effect elsewhere (namespaces(7), `/proc/sys/user`). The TUN device is the machine's own.
    pub fn as_user_without_user_namespaces(&self, arguments: &[&str]) -> Output {
        // It runs until its input ends.
        let mut keeper =
            Command::new("unshare").args(["--user", "cat"]).stdin(Stdio::piped()).spawn().expect("unshare");
        let process = Path::new("/proc").join(keeper.id().to_string());
        let own = fs::read_link("/proc/self/ns/user").expect("procfs");
        while fs::read_link(process.join("ns/user")).expect("the keeper lives") == own {
            std::thread::yield_now();
        }
        for map in ["uid_map", "gid_map"] {
            fs::write(process.join(map), "0 0 100000").expect("every user is there");
        }
        let mut command = Command::new("nsenter");
        command.args(["--user", "--target", &keeper.id().to_string(), "sh", "-c"]);
        command.args(["echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"", "sh"]);
        command.args(self.become_the_user()).arg(self.program()).args(arguments);
        let output = self.at_home(command).output().expect("nsenter");
        drop(keeper.stdin.take());
        keeper.wait().expect("it ends");
        output
    }

    fn become_the_user(&self) -> Vec<String> {
        let user = self.user;
        let words = "setpriv --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all";
        words.split(' ').map(str::to_owned).chain([format!("--reuid={user}"), format!("--regid={user}")]).collect()
    }

    pub fn at_home(&self, mut command: Command) -> Command {
        let is_root = nix::unistd::geteuid().is_root();
        assert!(is_root, "this test asks the real kernel and needs root (hint: see .ci/setup tests)");
        command.current_dir(self.path()).env("COLUMNS", "80").env("TMPDIR", self.path().join("tmp"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}
