//! Commands for messages, with the flags that make them act on the same object in any terminal.

use std::fmt::Write as _;

use clap::Parser as _;

use super::args::{Cli, ClusterArgs};
use crate::command::quoted;

/// `-n`, and the flags with which the user chose the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    namespace: String,
    cluster: ClusterArgs,
}

impl Flags {
    /// The flags of this invocation, whose namespace is `namespace`.
    pub(super) fn new(args: &ClusterArgs, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), cluster: args.clone() }
    }

    /// The flags for another namespace of the same cluster.
    pub(super) fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// `kubectl rotatedsecret <words> -n <namespace>`.
    pub(super) fn plugin(&self, words: &str) -> String {
        debug_assert!(accepted(words), "the plugin does not accept: {words}");
        self.kubectl(&format!("rotatedsecret {words}"))
    }

    /// `kubectl <words> -n <namespace>`.
    pub(super) fn kubectl(&self, words: &str) -> String {
        self.cluster(&format!("{words} -n {}", quoted(&self.namespace)))
    }

    /// `kubectl <words>`, for commands without a namespace.
    pub(super) fn cluster(&self, words: &str) -> String {
        let mut command = format!("kubectl {words}");
        let args = &self.cluster;
        let flags = [
            ("context", &args.context),
            ("cluster", &args.cluster),
            ("user", &args.user),
            ("as", &args.impersonate),
            ("as-uid", &args.impersonate_uid),
            ("server", &args.server),
            ("tls-server-name", &args.tls_server_name),
            ("username", &args.username),
        ];
        let flags = flags.into_iter().filter_map(|(flag, value)| Some((flag, value.as_ref()?)));
        for (flag, value) in flags.chain(args.impersonate_groups.iter().map(|group| ("as-group", group))) {
            let _ = write!(command, " --{flag} {}", quoted(value));
        }
        for (key, value) in &args.impersonate_extra {
            let _ = write!(command, " --as-user-extra {}", quoted(&format!("{key}={value}")));
        }
        let paths = [
            ("kubeconfig", &args.kubeconfig),
            ("certificate-authority", &args.certificate_authority),
            ("client-certificate", &args.client_certificate),
            ("client-key", &args.client_key),
        ];
        for (flag, path) in paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            let _ = write!(command, " --{flag} {}", quoted(&path.to_string_lossy()));
        }
        if args.insecure_skip_tls_verify {
            command.push_str(" --insecure-skip-tls-verify");
        }
        // A message must not contain credentials.
        for (flag, given) in [("token", &args.token), ("password", &args.password)] {
            if given.is_some() {
                let _ = write!(command, " --{flag} {}", flag.to_ascii_uppercase());
            }
        }
        command
    }
}

/// Whether the plugin accepts the command. For tests: a command that cannot be run must not be printed.
fn accepted(words: &str) -> bool {
    Cli::try_parse_from(std::iter::once("kubectl-rotatedsecret").chain(words.split_whitespace())).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_carries_the_namespace_and_the_flags_that_were_given() {
        let mut args = ClusterArgs::default();
        assert_eq!(Flags::new(&args, "shop").plugin("resume db"), "kubectl rotatedsecret resume db -n shop");
        args.context = Some("arn:aws:eks:eu-central-1:1:cluster/prod".to_owned());
        args.kubeconfig = Some("/tmp/my config".into());
        let flags = Flags::new(&args, "shop");
        let cluster = "--context arn:aws:eks:eu-central-1:1:cluster/prod --kubeconfig '/tmp/my config'";
        assert_eq!(flags.within("other").plugin("resume db"), format!("kubectl rotatedsecret resume db -n other {cluster}"));
        assert_eq!(flags.cluster("rotatedsecret status -A"), format!("kubectl rotatedsecret status -A {cluster}"));
        let args = ClusterArgs {
            user: Some("admin".to_owned()),
            impersonate: Some("jane".to_owned()),
            impersonate_groups: vec!["ops".to_owned(), "on call".to_owned()],
            ..ClusterArgs::default()
        };
        let command = "kubectl rotatedsecret status db -n shop --user admin --as jane --as-group ops --as-group 'on call'";
        assert_eq!(Flags::new(&args, "shop").plugin("status db"), command);
    }

    #[test]
    fn a_command_contains_the_flags_of_the_connection_and_no_credentials() {
        let line =
            "kubectl-rotatedsecret status --server https://a.example --token abcdef --insecure-skip-tls-verify --as-uid 7 --client-key /k";
        let args = Cli::try_parse_from(line.split_whitespace()).unwrap().cluster;
        let command = "kubectl rotatedsecret status db -n shop --as-uid 7 --server https://a.example --client-key /k \
                       --insecure-skip-tls-verify --token TOKEN";
        assert_eq!(Flags::new(&args, "shop").plugin("status db"), command);
        assert!(!format!("{args:?}").contains("abcdef"));
    }
}
