//! A real tool in place of the prober.

pub(super) mod relay;
pub(super) mod relay_ties;
pub(super) mod running_tool;
pub(super) mod tool_side;
