//! Flags of kubectl that this plugin does not have.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Global flags of kubectl, and why they are of no use here.
const FLAGS: [(&str, &str); 9] = [
    ("cache-dir", "it caches nothing"),
    ("kuberc", "it has no preferences"),
    ("log-flush-frequency", "it writes no log"),
    ("match-server-version", "it supports each version of the API server; the command version compares it with the operator"),
    ("profile", "it has no profile"),
    ("profile-output", "it has no profile"),
    ("vmodule", "it writes no log; -v 6 shows its requests"),
    ("warnings-as-errors", "it does not show warnings of the API server"),
    ("field-manager", "its writes have a field manager of their own"),
];

/// The message for a flag of kubectl that the plugin does not have. `None`: the error is another one.
pub fn kubectl_flag(error: &clap::Error) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) = (error.kind(), error.get(ContextKind::InvalidArg)) else {
        return None;
    };
    let name = argument.strip_prefix("--")?.split('=').next()?;
    let (_, why) = FLAGS.iter().find(|(flag, _)| *flag == name)?;
    Some(format!("the plugin does not support the flag --{name} of kubectl: {why}; omit it"))
}
