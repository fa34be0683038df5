//! How a command of the plugin ends.

use std::fmt;

use super::escape::escaped;

/// How the plugin ends, for scripts. `--help` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is as it should be.
    Fine,
    /// Something is not.
    Wrong,
    /// The command line is not understood.
    Usage,
    /// It could not be found out: no answer, or no right to ask.
    Unreachable,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Wrong => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }

    pub(super) fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Wrong }
    }
}

/// Why a command did not come to its end: one sentence that says what to type.
#[derive(Debug)]
pub struct Trouble {
    /// How the plugin ends.
    pub exit: Exit,
    pub(super) message: String,
}

impl Trouble {
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, message: message.into() }
    }

    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { exit: Exit::Unreachable, message: message.into() }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.message))
    }
}
