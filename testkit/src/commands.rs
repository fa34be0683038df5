//! Commands in messages: found, split as a POSIX shell splits them, and compared with what the programs accept.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser as _;

/// The operations of the AWS command line that messages may contain, with the options that each accepts and, of those, the ones that
/// it requires. Compared with `aws <service> <operation> help` of version 1.45.
#[rustfmt::skip]
const AWS: [(&str, &str, &[&str], &[&str]); 25] = [
    ("secretsmanager", "describe-secret", &["--secret-id"], &["--region"]),
    ("secretsmanager", "get-secret-value", &["--secret-id"], &["--region", "--version-id", "--version-stage"]),
    ("secretsmanager", "restore-secret", &["--secret-id"], &["--region"]),
    ("secretsmanager", "delete-secret", &["--secret-id"], &["--region", "--recovery-window-in-days"]),
    ("secretsmanager", "remove-regions-from-replication", &["--secret-id", "--remove-replica-regions"], &["--region"]),
    ("secretsmanager", "list-secrets", &[], &["--region", "--filters", "--max-items"]),
    ("secretsmanager", "put-secret-value", &["--secret-id", "--secret-string"], &["--region", "--version-stages"]),
    ("secretsmanager", "create-secret", &["--name", "--secret-string"], &["--region", "--tags"]),
    ("secretsmanager", "tag-resource", &["--secret-id", "--tags"], &["--region"]),
    ("secretsmanager", "untag-resource", &["--secret-id", "--tag-keys"], &["--region"]),
    ("secretsmanager", "update-secret-version-stage", &["--secret-id", "--version-stage"],
        &["--region", "--remove-from-version-id", "--move-to-version-id"]),
    ("secretsmanager", "cancel-rotate-secret", &["--secret-id"], &["--region"]),
    ("secretsmanager", "validate-resource-policy", &["--resource-policy"], &["--region", "--secret-id"]),
    ("secretsmanager", "get-resource-policy", &["--secret-id"], &["--region"]),
    ("accessanalyzer", "list-findings-v2", &["--analyzer-arn"], &["--region", "--filter"]),
    ("iam", "simulate-principal-policy", &["--policy-source-arn", "--action-names"], &["--resource-arns"]),
    ("kms", "describe-key", &["--key-id"], &["--region"]),
    ("iam", "get-role", &["--role-name"], &[]),
    ("iam", "list-open-id-connect-providers", &[], &[]),
    ("sts", "get-caller-identity", &[], &["--region"]),
    ("sso", "login", &[], &["--profile"]),
    ("account", "enable-region", &["--region-name"], &[]),
    ("logs", "tail", &[], &["--region", "--since"]),
    ("lambda", "add-permission", &["--function-name", "--statement-id", "--action", "--principal"], &["--region"]),
    ("lambda", "get-policy", &["--function-name"], &["--region"]),
];

/// Options of every operation.
const GLOBAL: [&str; 3] = ["--query", "--output", "--profile"];

/// Regional operations must name the region: the reader's default may be another one.
const REGIONAL: [&str; 5] = ["secretsmanager", "accessanalyzer", "kms", "logs", "lambda"];

/// The verbs of kubectl that messages may contain: how many words follow, and the options with a value and without one.
#[rustfmt::skip]
const KUBECTL: [(&str, usize, &[&str], &[&str]); 13] = [
    ("annotate", 3, &["-n"], &["--overwrite"]),
    ("delete", 2, &["-n"], &["--cascade=orphan"]),
    ("get", 2, &["-n", "-o", "-l", "--field-selector"], &["-A"]),
    ("events", 0, &["-n", "--for"], &[]),
    ("describe", 2, &["-n"], &[]),
    ("logs", 1, &["-n", "-l"], &["--previous", "--tail=-1", "--prefix"]),
    ("patch", 2, &["-n", "-p"], &["--type=merge"]),
    ("rollout", 3, &["-n"], &[]),
    ("create", 2, &["-n"], &["--clusterrole=", "--serviceaccount="]),
    ("apply", 0, &["-f"], &["--dry-run=server"]),
    ("auth", 3, &[], &["-A", "--subresource=", "--as="]),
    ("cluster-info", 0, &[], &[]),
    ("config", 2, &["--kubeconfig"], &[]),
];

/// The commands in a text. Each ends where the sentence goes on: see `src/command.rs`.
///
/// # Errors
/// If one of them is not complete, or is followed by words that do not belong to it.
pub fn check(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = next(text, from) {
        let (words, end) = split(&text[start..]).with_context(|| format!("in: {text}"))?;
        let command = text[start..start + end].to_owned();
        accepted(&words).with_context(|| format!("{command}\nin: {text}"))?;
        found.push(command);
        from = start + end.max(1);
    }
    Ok(found)
}

/// As [`check`], for a command alone. It may be followed by a pipe.
///
/// # Errors
/// As those of [`check`].
pub fn check_line(line: &str) -> Result<()> {
    let line = line.split(" | ").next().unwrap_or_default();
    let (words, end) = split(line)?;
    ensure!(end == line.len(), "it ends before {}", &line[end..]);
    accepted(&words)
}

/// Where the next command begins.
fn next(text: &str, from: usize) -> Option<usize> {
    let services = AWS.iter().map(|(service, ..)| format!("aws {service} "));
    let programs = services.chain(["kubectl ".to_owned()]);
    let starts = programs.filter_map(|program| {
        text[from..]
            .match_indices(&program)
            .map(|(at, _)| from + at)
            .find(|at| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'))
    });
    starts.min()
}

/// The words of the command at the beginning of `text`, without quotes, and its length.
fn split(text: &str) -> Result<(Vec<String>, usize)> {
    let mut words = vec![String::new()];
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        let following = rest.peek().map(|(_, c)| *c);
        let word = words.last_mut().context("a word")?;
        match c {
            '\'' | '"' => {
                let mut depth = 0;
                loop {
                    let Some((_, inner)) = rest.next() else { bail!("a quote is not closed") };
                    match (inner, rest.peek().map(|(_, c)| *c)) {
                        ('$', Some('(')) if c == '"' => depth += 1,
                        (')', _) if depth > 0 => depth -= 1,
                        (inner, _) if inner == c && depth == 0 => break,
                        _ => {}
                    }
                    word.push(inner);
                }
            }
            '\\' => word.extend(rest.next().map(|(_, c)| c)),
            '$' if following == Some('(') => {
                word.push(c);
                for (_, inner) in rest.by_ref() {
                    word.push(inner);
                    if inner == ')' {
                        break;
                    }
                }
            }
            ';' | ')' | '\n' => return Ok((ended(words), at)),
            ',' | ':' | '.' if following.is_none_or(char::is_whitespace) => return Ok((ended(words), at)),
            ' ' => words.push(String::new()),
            c => word.push(c),
        }
    }
    Ok((ended(words), text.len()))
}

fn ended(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| !word.is_empty());
    words
}

/// Whether the program of a command accepts its words.
///
/// # Errors
/// If it does not, or if the command does not name its region or namespace.
pub fn accepted(words: &[String]) -> Result<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["kubectl", "rotatedsecret", rest @ ..] => {
            ensure!(rest.contains(&"-n") || rest.contains(&"-A"), "no namespace");
            rotated_secrets::plugin::Cli::try_parse_from(["kubectl-rotatedsecret"].iter().chain(rest))?;
            Ok(())
        }
        ["kubectl", verb, rest @ ..] => kubectl(verb, rest),
        ["aws", service, operation, rest @ ..] => aws(service, operation, rest),
        _ => bail!("no command"),
    }
}

fn kubectl(verb: &str, rest: &[&str]) -> Result<()> {
    let (_, most, valued, plain) = KUBECTL.iter().find(|(known, ..)| *known == verb).context("an unknown verb")?;
    let mut positional = 0;
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        if valued.contains(word) {
            words.next().context("an option without its value")?;
        } else if word.starts_with('-') {
            ensure!(plain.iter().any(|option| word == option || (option.ends_with('=') && word.starts_with(option))), "{word}");
        } else {
            positional += 1;
        }
    }
    if verb == "logs" {
        // A Deployment is one of its pods, which may not be the leader; with a label, kubectl shows ten lines of each pod.
        ensure!(!rest.iter().any(|word| word.starts_with("deploy")), "the log of one pod only");
        ensure!(!rest.contains(&"-l") || rest.contains(&"--tail=-1"), "ten lines of each pod only");
    }
    // Several annotations may be removed at once.
    let several = verb == "annotate" && rest.iter().any(|word| word.ends_with('-'));
    ensure!(positional <= *most || several, "words that do not belong to it");
    let cluster_wide = matches!(verb, "apply" | "auth" | "config" | "cluster-info") || rest.first() == Some(&"namespace");
    ensure!(cluster_wide || rest.contains(&"-n") || rest.contains(&"-A"), "no namespace");
    Ok(())
}

fn aws(service: &str, operation: &str, rest: &[&str]) -> Result<()> {
    let known = AWS.iter().find(|(of, name, ..)| (*of, *name) == (service, operation));
    let (.., required, optional) = known.with_context(|| format!("there is no aws {service} {operation} in the table"))?;
    // `logs tail` has one word, the group; the value of an option may consist of several.
    let options: Vec<&str> = rest.iter().copied().filter(|word| word.starts_with("--")).collect();
    for option in &options {
        ensure!(required.contains(option) || optional.contains(option) || GLOBAL.contains(option), "there is no {option}");
    }
    for option in *required {
        ensure!(options.contains(option), "{option} is missing");
    }
    ensure!(!REGIONAL.contains(&service) || options.contains(&"--region"), "no region");
    let words = rest.len() - options.len();
    let allowed = options.len() + usize::from(operation == "tail");
    let list = operation == "remove-regions-from-replication";
    ensure!(words == allowed || list && words > allowed, "words that do not belong to it, or an option without its value");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_the_sentence_ends_or_goes_on() {
        let text = "restore it (aws secretsmanager restore-secret --region eu-west-1 --secret-id a/b), or run: kubectl annotate rsec db -n shop \
                    k=$(date +%s) --overwrite; then kubectl patch rsec db -n shop --type=merge -p '{\"a\": {\"b\":null}}'. kubectlish";
        let found = check(text).unwrap();
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[1], "kubectl annotate rsec db -n shop k=$(date +%s) --overwrite");
        let nested = "aws kms describe-key --region r --key-id \"$(aws secretsmanager describe-secret --region r --secret-id s --query \"a || 'b'\")\"";
        assert_eq!(check(&format!("look ({nested})")).unwrap(), [nested]);
    }

    #[test]
    fn incomplete_commands_are_refused() {
        for text in [
            "aws secretsmanager restore-secret",
            "aws secretsmanager restore-secret --secret-id a",
            "aws secretsmanager restore-secret --region r --secret-id a b",
            "aws secretsmanager restore-secret --region r --secret-id",
            "aws secretsmanager restore-secret --region r --secret-id a --force",
            "aws secretsmanager restore-a-secret --region r --secret-id a",
            "kubectl delete secret a",
            "kubectl delete secret a -n b or not",
            "kubectl remove secret a -n b",
            "kubectl logs -n shop deploy/operator",
            "kubectl logs -n shop -l app.kubernetes.io/name=operator",
            "kubectl rotatedsecret history",
            "kubectl rotatedsecret history db",
            "kubectl rotatedsecret undo db -n shop",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }
}
