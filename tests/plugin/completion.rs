//! Completion in the shells that are installed. bash is required; zsh and fish are tested if they are there.

use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use crate::scene::Scene;
use testkit::fixtures::spec;

const BASH: &str = r#"eval "$(kubectl-rotatedsecret completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_kubectl_rotatedsecret && printf '%s\n' "${COMPREPLY[@]}""#;

/// Outside of a line editor the words are ordinary variables, and the candidates are printed.
const ZSH: &str = r#"compdef() { registered=$2; }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@"; }
_files() { print files; }
eval "$(kubectl-rotatedsecret completion zsh)"
[[ $registered == kubectl-rotatedsecret ]] || exit 1
words=("$@") CURRENT=$#
_kubectl_rotatedsecret || true"#;

const FISH: &str = "kubectl-rotatedsecret completion fish | source; complete -C \"$argv\"";

impl Scene {
    /// The candidates for the last of these words.
    async fn completes(&self, shell: &str, words: &[&str]) -> Result<Option<Vec<String>>> {
        let program = Path::new("/usr/bin").join(shell);
        if !program.exists() {
            assert_ne!(shell, "bash", "bash is required");
            return Ok(None);
        }
        let mut command = Command::new(program);
        let line: Vec<&str> = ["kubectl-rotatedsecret"].iter().chain(words).copied().collect();
        match shell {
            "bash" => command.args(["--norc", "-c", BASH, "bash"]).args(&line),
            "zsh" => command.args(["-f", "-c", ZSH, "zsh"]).args(&line),
            _ => command.args(["--no-config", "-c", FISH]).arg(line.join(" ")),
        };
        let ran = self.finish(command).await?.ends(0);
        assert_eq!(ran.err, "", "{shell} {words:?}");
        let mut found: Vec<String> = ran.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        found.sort_unstable();
        Ok(Some(found))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_completes_the_names_of_objects() -> Result<()> {
    let scene = Scene::new("shells").await?;
    for name in ["db", "db.replica", "api"] {
        scene.settled(name, spec()).await?;
    }
    let namespace = scene.world.namespace.clone();
    let assigned = format!("--namespace={namespace}");
    for shell in ["bash", "zsh", "fish"] {
        for (words, expected) in [
            (&["ro"][..], &["rollback", "rotate"][..]),
            (&["sh"], &["share"]),
            (&["status", "-n", &namespace, ""], &["api", "db", "db.replica"]),
            (&["status", "-n", &namespace, "d"], &["db", "db.replica"]),
            (&["rotate", &assigned, "db", ""], &["api", "db.replica"]),
            (&["verify", "-n", &namespace, "rsec/a"], &["rsec/api"]),
            (&["status", "--no-h"], &["--no-headers"]),
            (&["rollback", "api", ""], &[]),
            (&["rollback", "api", "-n", &namespace, "--to", ""], &["AWSPREVIOUS"]),
            (&["share", "api", "-n", &namespace, "--to", &namespace], &[&namespace]),
        ] {
            let Some(found) = scene.completes(shell, words).await? else { continue };
            assert_eq!(found, expected, "{shell} {words:?}");
        }
    }
    scene.run("completion tcsh").await?.ends(2);
    // What bash has separated at = stays on the line.
    let (first, _) = namespace.split_at(namespace.len() - 1);
    let found = scene.completes("bash", &["status", "--namespace", "=", first]).await?.unwrap_or_default();
    assert!(found.contains(&namespace), "{found:?}");
    Ok(())
}
