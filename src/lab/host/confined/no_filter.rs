//! A processor for which `seccompiler` makes no filter, such as 32-bit ARM: there Landlock alone keeps a confined program
//! from starting another one.

use seccompiler::BpfProgram;

/// `None`
pub fn compiled() -> Option<&'static BpfProgram> {
    None
}
