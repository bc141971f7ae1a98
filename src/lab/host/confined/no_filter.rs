//! The filter for processors that `seccompiler` does not support, such as 32-bit ARM: there Landlock alone keeps a
//! confined program from starting another one.

use seccompiler::BpfProgram;

/// Always `None`.
pub fn compiled() -> Option<&'static BpfProgram> {
    None
}
