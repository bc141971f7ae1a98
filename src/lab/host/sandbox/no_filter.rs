//! The filters for processors that `seccompiler` does not support, such as 32-bit ARM: there the rest of the sandbox
//! must suffice.

use seccompiler::BpfProgram;

/// Always empty.
pub fn compiled() -> Vec<BpfProgram> {
    Vec::new()
}
