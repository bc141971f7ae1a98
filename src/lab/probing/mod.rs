//! The sending of probes, and the attribution of each answer, line and path to its probe.

pub(super) mod attribution;
pub(super) mod canaries;
pub(super) mod exchange;
pub(super) mod flows;
pub(super) mod fresh_limits;
pub(super) mod last_probes;
pub(super) mod limit_override;
pub(super) mod retransmission;
pub(super) mod sessions;
pub(super) mod sweep;
pub(super) mod sweep_log;
pub(super) mod tokens;
pub(super) mod witnesses;
