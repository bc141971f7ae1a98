//! The sources of log lines: the kernel log, shared with the whole machine, and NFLOG.

pub(super) mod fair_lock;
pub(super) mod journal;
pub(super) mod kernel_log;
pub(super) mod lock_holder;
pub(super) mod log_source;
pub(super) mod nf_log_netns;
pub(super) mod nflog;
pub(super) mod nflog_copy;
pub(super) mod nflog_lines;
pub(super) mod raw_packets;
