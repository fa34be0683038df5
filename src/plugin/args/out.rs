//! How the answer is written.

use clap::Args;

use crate::plugin::format::Format;

/// Output flags.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::plugin) struct OutputArgs {
    /// Output format: wide, name, json, yaml or jsonpath=TEMPLATE. Default: human-readable text.
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse)]
    pub(in crate::plugin) output: Option<Format>,
}

impl OutputArgs {
    /// Whether the output is text for a person.
    pub(in crate::plugin) fn is_text(&self) -> bool {
        matches!(self.output, None | Some(Format::Wide))
    }

    /// Whether nothing is abbreviated.
    pub(in crate::plugin) fn is_wide(&self) -> bool {
        self.output == Some(Format::Wide)
    }
}
