//! Commands for messages, with the flags that make them act on the same object in any terminal.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::args::ClusterArgs;

/// `-n`, and the flags with which the user chose the cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Flags {
    namespace: String,
    context: Option<String>,
    kubeconfig: Option<PathBuf>,
}

impl Flags {
    /// The flags of this invocation, whose namespace is `namespace`.
    pub(super) fn new(args: &ClusterArgs, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), context: args.context.clone(), kubeconfig: args.kubeconfig.clone() }
    }

    /// The flags for another namespace of the same cluster.
    pub(super) fn within(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// `kubectl rotatedsecret <words> -n <namespace>`.
    pub(super) fn plugin(&self, words: &str) -> String {
        self.kubectl(&format!("rotatedsecret {words}"))
    }

    /// `kubectl <words> -n <namespace>`.
    pub(super) fn kubectl(&self, words: &str) -> String {
        self.cluster(&format!("{words} -n {}", quoted(&self.namespace)))
    }

    /// `kubectl <words>`, for commands without a namespace.
    pub(super) fn cluster(&self, words: &str) -> String {
        let mut command = format!("kubectl {words}");
        if let Some(context) = &self.context {
            let _ = write!(command, " --context {}", quoted(context));
        }
        if let Some(path) = &self.kubeconfig {
            let _ = write!(command, " --kubeconfig {}", quoted(&path.to_string_lossy()));
        }
        command
    }
}

/// Quotes `word` for a POSIX shell if necessary.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
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
    }

    #[test]
    fn what_a_shell_would_not_take_as_one_word_is_quoted() {
        for (word, expected) in [("prod", "prod"), ("", "''"), ("a b", "'a b'"), ("$(x)", "'$(x)'"), ("it's", r"'it'\''s'")] {
            assert_eq!(quoted(word), expected);
        }
    }
}
