//! Commands for messages, with the flags that make them act on the same object in any terminal.

use std::fmt::Write as _;

use clap::Parser as _;

use super::args::{Cli, ClusterArgs};
use crate::command::{quoted, values};
use crate::text;

/// The only substitution in a command: a token for a request. It does no harm wherever it is.
pub(super) const TOKEN: &str = "$(date +%s)";

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
        debug_assert!(!plain(words) || accepted(words), "the plugin does not accept: {words}");
        self.kubectl(&format!("rotatedsecret {words}"))
    }

    /// `kubectl <words> -n <namespace>`.
    pub(super) fn kubectl(&self, words: &str) -> String {
        self.line(words, Some(&self.namespace))
    }

    /// `kubectl <words>`, for commands without a namespace.
    pub(super) fn cluster(&self, words: &str) -> String {
        self.line(words, None)
    }

    /// The same with words that are quoted for a shell where necessary.
    pub(super) fn cluster_words(&self, words: &[&str]) -> String {
        // An escaped character would be another text.
        if words.iter().any(|word| text::escaped(word) != *word) {
            return values::NONE.to_owned();
        }
        self.complete(&words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "), None)
    }

    fn line(&self, words: &str, namespace: Option<&str>) -> String {
        if plain(words) { self.complete(words, namespace) } else { values::NONE.to_owned() }
    }

    fn complete(&self, words: &str, namespace: Option<&str>) -> String {
        let mut command = format!("kubectl {words}");
        match namespace {
            // From a kubeconfig. A namespace that is given as a flag is checked.
            Some(namespace) if namespace.starts_with('-') => command.push_str(&with("namespace", namespace)),
            Some(namespace) => {
                let _ = write!(command, " -n {}", quoted(namespace));
            }
            None => {}
        }
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
            command.push_str(&with(flag, value));
        }
        for (key, value) in &args.impersonate_extra {
            command.push_str(&with("as-user-extra", &format!("{key}={value}")));
        }
        let paths = [
            ("kubeconfig", &args.kubeconfig),
            ("certificate-authority", &args.certificate_authority),
            ("client-certificate", &args.client_certificate),
            ("client-key", &args.client_key),
        ];
        for (flag, path) in paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            command.push_str(&with(flag, &path.to_string_lossy()));
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

/// ` --flag value`. A value that begins with `-` would be read as a flag, and is joined to its own.
fn with(flag: &str, value: &str) -> String {
    if value.starts_with('-') { format!(" {}", quoted(&format!("--{flag}={value}"))) } else { format!(" --{flag} {}", quoted(value)) }
}

/// Whether a shell takes the words as they are, and the version in them is not read as a flag. The words have names of
/// objects and of versions, which AWS and the API server decide.
fn plain(words: &str) -> bool {
    words.replace(TOKEN, "0").split(' ').all(|word| quoted(word) == word)
        && !words.split_once("--to ").is_some_and(|(_, version)| values::is_interpreted(version))
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

    #[test]
    fn a_shell_and_the_plugin_read_the_values_of_flags_as_they_were_given() {
        for value in ["--all-namespaces", "-A", "-", "a b", "$(id)", "`id`", "it's", "a;b", "=ls", "~", "*", "file:///x", "{}"] {
            let text = || Some(value.to_owned());
            let args = ClusterArgs {
                context: text(),
                impersonate: text(),
                impersonate_groups: vec![value.to_owned(), "ops".to_owned()],
                impersonate_extra: vec![(value.replace('=', ""), value.to_owned())],
                kubeconfig: Some(value.into()),
                ..ClusterArgs::default()
            };
            // The first word is the program itself.
            let script = Flags::new(&args, "shop").plugin("status db").replace("kubectl rotatedsecret", "printf '%s\\n' rotatedsecret");
            let words = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
            let words = String::from_utf8(words.stdout).unwrap();
            let read = Cli::try_parse_from(words.lines()).unwrap_or_else(|error| panic!("{script}: {error}")).cluster;
            assert_eq!(
                (&read.context, &read.impersonate, &read.kubeconfig),
                (&args.context, &args.impersonate, &args.kubeconfig),
                "{script}"
            );
            assert_eq!(
                (&read.impersonate_groups, &read.impersonate_extra),
                (&args.impersonate_groups, &args.impersonate_extra),
                "{script}"
            );
        }
        assert!(Flags::default().within("-A").plugin("status db").ends_with(" --namespace=-A"), "from a kubeconfig");
    }

    #[test]
    fn no_command_is_shown_with_a_name_or_a_version_that_a_shell_or_the_plugin_would_interpret() {
        let flags = Flags::default().within("shop");
        for hostile in ["$(id)", "a;b", "a`id`", "a|b", "a\nb", "a\u{202e}b", "'", "a>b", "&", "~", "*"] {
            assert_eq!(flags.plugin(&format!("status {hostile}")), values::NONE);
            assert_eq!(flags.kubectl(&format!("get rsec {hostile} -o yaml")), values::NONE);
        }
        for version in ["--yes", "-A", "$(id)"] {
            assert_eq!(flags.plugin(&format!("rollback db --to {version} --yes")), values::NONE);
        }
        assert_eq!(flags.plugin("rollback db --to a90cc1b7"), "kubectl rotatedsecret rollback db --to a90cc1b7 -n shop");
    }
}
