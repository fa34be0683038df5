//! `rollback`: resolves the version, asks for confirmation, and requests its value.

use std::io::{BufRead, IsTerminal as _, Write};

use jiff::Timestamp;

use super::answer::{Answer, Outcome};
use super::args::RollbackArgs;
use super::connect::Session;
use super::flags::{Flags, TOKEN};
use super::interrupt::Interrupt;
use super::objects::Task;
use super::progress::Asking;
use super::request;
use super::restored::{Restored, history};
use super::versions::resolve;
use super::wait::Wait;
use super::{Exit, Trouble, ages};
use crate::api::{AWSCURRENT, Cause, ROLLBACK, RotatedSecret};
use crate::text::escaped;

const PREVIOUS: &str = "AWSPREVIOUS";

pub(super) async fn run(session: &Session, args: &RollbackArgs) -> Result<Exit, Trouble> {
    let task = Task { name: &args.name, args: &args.wait, several: false };
    if args.wait.cancel {
        return request::withdraw(session, task, Asking::RollBack).await?.give(&args.wait.out);
    }
    let interrupt = Interrupt::listen();
    let mut object = interrupt.before(request::ready_for(session, task, Asking::RollBack)).await?;
    let mut refreshed: Option<Wait> = None;
    if args.to == PREVIOUS && !args.dry_run {
        // The status may be minutes old, and the label may have moved in AWS since.
        let mut wait = request::request_refresh(session, task, &object, &interrupt).await?.in_any_case();
        if let Err(answer) = wait.for_labels(session).await? {
            return answer.give(&args.wait.out);
        }
        wait.tell("refreshed", "the operator has read the versions in AWS")?;
        object = wait.object.clone();
        refreshed = Some(wait);
    }
    let now = session.now();
    let version = find(&object, &args.to, &session.flags, now).map_err(Trouble::wrong)?;
    let restored = Restored::of(&object, &version);
    if args.dry_run {
        return shown(session, args, restored, now);
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let replaced = request::pending_rollback(&object).filter(|pending| *pending != version);
    if let Some(pending) = replaced.as_ref().filter(|_| !terminal && !args.yes) {
        return Err(Trouble::wrong(pending_already(&args.name, pending, &version, &session.flags)));
    }
    if terminal && !args.yes {
        let instead = replaced.as_ref().map_or_else(String::new, |pending| format!(" instead of the pending rollback to {pending}"));
        let question = format!("restore the value of {}{instead}?", restored.words(now));
        if !interrupt.before(answered(question)).await? {
            return Err(Trouble::wrong("not confirmed, so no rollback was requested"));
        }
        object = interrupt.before(still_current(session, args, &object)).await?;
    }
    request::roll_back(session, task, &object, &restored, refreshed.as_ref(), &interrupt).await?.give(&args.wait.out)
}

/// Another rollback has not been carried out yet.
fn pending_already(name: &str, pending: &str, version: &str, flags: &Flags) -> String {
    let withdraw = flags.plugin(&format!("rollback {name} --cancel"));
    let replace = flags.plugin(&format!("rollback {name} --to {version} --yes"));
    format!("a rollback of {name} to {pending} is pending, so no other was requested; to withdraw it: {withdraw}; to replace it: {replace}")
}

/// Output of a dry run.
fn shown(session: &Session, args: &RollbackArgs, restored: Restored, now: Timestamp) -> Result<Exit, Trouble> {
    let message = format!(
        "{} would again have the value of {}, according to the current status; nothing was written",
        args.name,
        restored.words(now)
    );
    let answer = Answer::unasked(session, &args.name, Outcome::DryRun, message);
    Answer { restores: Some(restored), ..answer }.give(&args.wait.out)
}

/// The answer of the terminal. It is read by a thread of its own, which ends with the process: a read cannot be interrupted.
async fn answered(question: String) -> Result<bool, Trouble> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = tell.send(confirmed(&question, &mut std::io::stdin().lock(), &mut std::io::stderr().lock()));
    });
    Ok(told.await.unwrap_or_default())
}

/// Asks for confirmation on a terminal. Any answer other than yes is no.
fn confirmed(question: &str, answers: &mut impl BufRead, screen: &mut impl Write) -> bool {
    let mut answer = String::new();
    let asked = write!(screen, "{} [y/N] ", escaped(question)).and_then(|()| screen.flush());
    asked.is_ok() && answers.read_line(&mut answer).is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str())
}

/// The object, if no other version became current while the command waited for the answer.
async fn still_current(session: &Session, args: &RollbackArgs, before: &RotatedSecret) -> Result<RotatedSecret, Trouble> {
    let object = session.object(&args.name).await?;
    if current(&object) == current(before) {
        return Ok(object);
    }
    let history = session.flags.plugin(&format!("history {}", args.name));
    Err(Trouble::wrong(format!("another version has become current meanwhile, so no rollback was requested: {history}")))
}

fn current(object: &RotatedSecret) -> Option<&str> {
    object.status.as_ref()?.aws.as_ref()?.current_version_id.as_deref()
}

/// The complete ID of the version that `meant` names.
fn find(object: &RotatedSecret, meant: &str, flags: &Flags, now: Timestamp) -> Result<String, String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let see = flags.plugin(&format!("history {name}"));
    let status = object.status.clone().unwrap_or_default();
    let aws = status.aws.unwrap_or_default();
    // A request for the current version abandons the staged one.
    let abandon = status.staged.zip(aws.current_version_id.as_ref()).map(|(staged, current)| {
        let annotate = flags.kubectl(&format!("annotate rsec {name} {ROLLBACK}={TOKEN}:{current} --overwrite"));
        format!("version {} is staged; to abandon it and to keep the current version {current}: {annotate}", staged.version_id)
    });
    if meant == AWSCURRENT {
        return Err(abandon.unwrap_or_else(|| format!("AWSCURRENT is the value that {name} has now: {see} shows the earlier versions")));
    }
    if meant == PREVIOUS {
        let previous = aws.previous_version_id.ok_or_else(|| format!("{name} has no previous version yet: {see}"))?;
        return undone(object, &previous, flags, now).map_or(Ok(previous), Err);
    }
    let version = resolve(object, meant, flags)?;
    if aws.current_version_id.as_ref() == Some(&version) {
        return Err(abandon.unwrap_or_else(|| format!("version {version} is already current: {see}")));
    }
    Ok(version)
}

/// Why AWSPREVIOUS is refused: the current version is already a rollback, and AWSPREVIOUS is the version that was rolled
/// back.
fn undone(object: &RotatedSecret, previous: &str, flags: &Flags, now: Timestamp) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let head = history(object).first().filter(|head| head.cause == Cause::RolledBack && current(object) == Some(&head.version_id))?;
    let ago = ages::since(head.time.0, now);
    let how = match &head.copy_of {
        Some(older) => format!("already has the value of version {older}, rolled back {ago} ago by request"),
        None => format!("was made current again in AWS {ago} ago"),
    };
    let forward = flags.plugin(&format!("rollback {name} --to {previous}"));
    Some(format!(
        "the current version {} of {name} {how}, so no rollback was requested; AWSPREVIOUS is the version before that: to restore its \
         value, {forward}",
        head.version_id
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-06-01T12:00:40Z".parse().unwrap()
    }

    fn object(previous: Option<&str>) -> RotatedSecret {
        let entry =
            |version: &str| json!({"versionId": version, "time": "2026-06-01T12:00:00Z", "cause": "Scheduled", "outcome": "Succeeded"});
        serde_json::from_value(json!({
            "apiVersion": "rotated-secrets.io/v1alpha1",
            "kind": "RotatedSecret",
            "metadata": {"name": "db"},
            "spec": {},
            "status": {
                "aws": {"currentVersionId": "cccc", "previousVersionId": previous, "retainedVersionIds": ["abcd", "ffff"]},
                "history": [entry("cccc"), entry("abcd"), entry("abce")],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_version_is_found_by_its_label_its_id_or_the_beginning_of_it() {
        let object = object(Some("abcd"));
        let whole = "0".repeat(36);
        for (meant, version) in [("AWSPREVIOUS", "abcd"), ("abcd", "abcd"), ("f", "ffff"), (whole.as_str(), whole.as_str())] {
            assert_eq!(find(&object, meant, &Flags::default(), now()).as_deref(), Ok(version), "{meant}");
        }
    }

    #[test]
    fn what_is_not_one_version_is_told_apart() {
        for (previous, meant, words) in [
            (None, "AWSPREVIOUS", "no previous version yet"),
            (Some("abcd"), "abc", "several versions of db begin with abc (abcd, abce)"),
            (Some("abcd"), "x", "has no version that begins with x"),
            (Some("abcd"), "", "has no version"),
            (Some("abcd"), "cccc", "is already current"),
            (Some("abcd"), "AWSCURRENT", "is the value that db has now"),
        ] {
            let refusal = find(&object(previous), meant, &Flags::default(), now()).unwrap_err();
            assert!(refusal.contains(words), "{meant}: {refusal}");
        }
    }

    #[test]
    fn the_current_version_is_what_a_staged_one_is_abandoned_for() {
        let mut object = object(Some("abcd"));
        let staged = json!({"versionId": "dddd", "step": "Apply", "since": "2026-06-01T12:00:00Z"});
        object.status.as_mut().unwrap().staged = serde_json::from_value(staged).unwrap();
        for meant in ["cccc", "AWSCURRENT"] {
            let refusal = find(&object, meant, &Flags::default().within("shop"), now()).unwrap_err();
            let command = "kubectl annotate rsec db rotated-secrets.io/rollback=$(date +%s):cccc --overwrite -n shop";
            assert!(refusal.starts_with("version dddd is staged; ") && refusal.ends_with(command), "{refusal}");
        }
        assert_eq!(find(&object, "abcd", &Flags::default(), now()).as_deref(), Ok("abcd"));
    }

    #[test]
    fn going_back_twice_is_refused_with_the_command_that_goes_forward() {
        let flags = Flags::default().within("shop");
        let mut twice = object(Some("abce"));
        let head = |object: &mut RotatedSecret, copy_of: Option<&str>| {
            let head = object.status.as_mut().unwrap().history.first_mut().unwrap();
            (head.cause, head.copy_of) = (Cause::RolledBack, copy_of.map(str::to_owned));
        };
        head(&mut twice, Some("abcd"));
        let refusal = find(&twice, PREVIOUS, &flags, now()).unwrap_err();
        for words in ["version cccc of db already has the value of version abcd, rolled back 40s ago", "rollback db --to abce -n shop"] {
            assert!(refusal.contains(words), "{refusal}");
        }
        assert_eq!(find(&twice, "abce", &flags, now()).as_deref(), Ok("abce"), "by its id it is meant");
        head(&mut twice, None);
        assert!(find(&twice, PREVIOUS, &flags, now()).unwrap_err().contains("made current again in AWS"));
        // The version that is current now is not a rollback.
        twice.status.as_mut().unwrap().aws.as_mut().unwrap().current_version_id = Some("eeee".to_owned());
        assert_eq!(find(&twice, PREVIOUS, &flags, now()).as_deref(), Ok("abce"));
    }

    #[test]
    fn the_version_is_named_with_its_age_and_its_cause() {
        let mut object = object(Some("abcd"));
        assert_eq!(Restored::of(&object, "abcd").words(now()), "version abcd, from 40s ago (Scheduled)");
        assert_eq!(Restored::of(&object, "ffff").words(now()), "version ffff, which the history does not list");
        let entry = &mut object.status.as_mut().unwrap().history[1];
        (entry.cause, entry.copy_of) = (Cause::RolledBack, Some("0000".to_owned()));
        assert_eq!(Restored::of(&object, "abcd").words(now()), "version abcd, from 40s ago (RolledBack, the value of 0000)");
    }

    #[test]
    fn only_yes_is_yes() {
        for (typed, expected) in
            [("y\n", true), ("YES\n", true), ("yes", true), ("n\n", false), ("\n", false), ("", false), ("yo\n", false)]
        {
            let mut screen = Vec::new();
            assert_eq!(confirmed("restore\u{1b}?", &mut typed.as_bytes(), &mut screen), expected, "{typed:?}");
            assert_eq!(String::from_utf8(screen).unwrap(), "restore\\u{1b}? [y/N] ");
        }
    }
}
