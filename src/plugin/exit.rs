//! Exit codes and errors of the plugin.

use std::fmt;

use crate::text::escaped;

/// Exit code of the plugin, as documented in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The objects are as they should be.
    Fine,
    /// A problem was found.
    Wrong,
    /// The command line is invalid.
    Usage,
    /// The state is unknown: no response, or no permission.
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

    /// The worse of two.
    pub(super) fn and(self, other: Self) -> Self {
        if other.code() > self.code() { other } else { self }
    }

    pub(super) fn fine_if(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Wrong }
    }
}

/// Error of a command, as one sentence with the command to run.
#[derive(Debug)]
pub struct Trouble {
    /// The exit code.
    pub exit: Exit,
    pub(super) message: String,
}

impl Trouble {
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self { exit: Exit::Wrong, message: message.into() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
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
