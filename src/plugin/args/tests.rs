use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn flags_of_kubectl_stand_before_or_after_the_command() {
    for line in [["-n", "shop", "status", "db"], ["status", "db", "--namespace", "shop"], ["status", "-n", "shop", "db"]] {
        let cli = Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line)).unwrap();
        assert_eq!(cli.cluster.namespace.as_deref(), Some("shop"), "{line:?}");
    }
}

#[test]
fn habits_of_kubectl_are_understood() {
    for line in [
        "status rsec/db",
        "status a b c",
        "status -l team=payments -A",
        "status -w --no-headers",
        "status -o wide",
        "status -o name",
        "status -o jsonpath={.items[*].name}",
        "rotate a rotatedsecret/b",
        "rotate --all",
        "rotate db --timeout 180",
        "rotate db --force",
        "rotate db --emergency",
        "refresh -l team=payments",
        "suspend --all --message INC-123",
        "suspend --namespace-wide -m INC-123",
        "resume -l a=b",
        "status --as jane --as-group ops --as-group oncall --cluster c --user u --request-timeout 5s",
        "status --request-timeout 0",
        "share rsec/db --to a --to b --rollout --consent",
        "share db --to a --dry-run",
        "share db --to a --dry-run=client -o json",
        "version --client",
        "report -A",
        "report -o markdown --readers --owner-label a --owner-label b",
        "report --context a --context b",
        "--context a report",
        "report --orphans a.json --orphans - --cluster-id c",
    ] {
        assert!(Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        vec!["status", "db", "-A"],
        vec!["status", "db", "-l", "a=b"],
        vec!["status", "db admin"],
        vec!["status", "../db"],
        vec!["status", "-n", "shop "],
        vec!["status", ""],
        vec!["verify", "db", "--values", "--no-aws"],
        vec!["rotate"],
        vec!["suspend"],
        vec!["suspend", "db", "--all"],
        vec!["suspend", "--namespace-wide", "--rotation-only"],
        vec!["resume", "--namespace-wide", "db"],
        vec!["rotate", "db", "--timeout", "soon"],
        vec!["rotate", "db", "--timeout", "0"],
        vec!["rotate", "db", "--cancel", "--no-wait"],
        vec!["rotate", "db", "--cancel", "--force"],
        vec!["rollback", "db", "--cancel", "--to", "abcd"],
        vec!["rollback", "db", "--cancel", "--dry-run"],
        vec!["rollback", "a", "b"],
        vec!["share", "db"],
        vec!["share", "db", "--to", ""],
        vec!["share", "db", "--to", "a/b"],
        vec!["share", "db", "--to", "a", "--dry-run", "--consent"],
        vec!["share", "db", "--to", "a", "--dry-run=server"],
        vec!["doctor", "--probe"],
        vec!["status", "--context", "a", "--context", "b"],
        vec!["report", "db"],
        vec!["report", "-o", "yaml"],
        vec!["report", "--readers", "--orphans", "a.json"],
        vec!["report", "--cluster-id", "c"],
        vec!["status", "-o", "xml"],
        vec!["completion", "tcsh"],
        vec!["doctor", "--aws-endpoint-url", "http://example.com"],
    ] {
        assert!(Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line.iter().copied())).is_err(), "{line:?}");
    }
}

#[test]
fn a_report_can_have_several_contexts_before_or_after_its_name() {
    for (line, expected) in [
        ("report --context a --context b", &["a", "b"][..]),
        ("--context a report", &["a"]),
        ("report --context a", &["a"]),
        ("report", &[]),
    ] {
        let cli = Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(line.split(' '))).unwrap();
        let Command::Report(args) = cli.command else { panic!("{line}") };
        assert_eq!(args.contexts, expected, "{line}");
    }
}

#[test]
fn the_help_tells_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    for line in ["0  success", "1  failure", "2  invalid command line", "3  unknown"] {
        assert!(help.contains(line), "{help}");
    }
}

#[test]
fn the_help_of_each_command_has_examples_that_work_and_the_exit_codes() {
    let mut told = 0;
    for mut command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect::<Vec<_>>() {
        let help = command.render_long_help().to_string();
        assert!(help.contains("Exit codes: 0 success"), "{help}");
        for line in help.lines().filter_map(|line| line.strip_prefix("  kubectl rotatedsecret ")) {
            let line = line.split(" > ").next().unwrap_or_default();
            // What is in quotes is one word.
            let words = line.split('\'').enumerate().flat_map(|(number, part)| match number % 2 {
                0 => part.split(' ').filter(|word| !word.is_empty()).collect(),
                _ => vec![part],
            });
            let parsed = Cli::try_parse_from(["kubectl-rotatedsecret"].into_iter().chain(words));
            assert!(parsed.is_ok(), "{line}");
            told += 1;
        }
    }
    assert!(told >= 20, "{told}");
}
