//! The kernel's module for x_tables. iptables-legacy loads it by running modprobe(8), which a confined program cannot
//! do: so the lab runs it before, with its own arguments. nf_tables and all extensions are loaded by the kernel itself.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::confined::PATIENCE;
use crate::net::Family;

/// Loads the module unless the family has its tables already. If this fails or is not permitted, iptables reports that
/// it has no table.
pub async fn load(family: Family) {
    let module = family.pick("ip_tables", "ip6_tables");
    // Every network namespace has the file once the module is loaded (net/netfilter/x_tables.c, `xt_proto_init`).
    if Path::new(&format!("/proc/thread-self/net/{module}_names")).exists() {
        return;
    }
    let mut modprobe = Command::new("/sbin/modprobe");
    modprobe.args(["-q", "--", module]).env_clear().kill_on_drop(true);
    modprobe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _ = tokio::time::timeout(PATIENCE, modprobe.status()).await;
}
