//! AWS refuses to give `AWSCURRENT` back to an external version.

use super::versions::{rest, step};
use super::*;
use crate::api::condition::ConditionType;
use crate::backoff::Class;
use crate::failure::{Failed, Failure};

/// The write of an earlier reconcile replaced an external version, and AWS has refused to move `AWSCURRENT` back.
fn refused(mirror: MirrorState) -> Observation {
    let ours = ids().slot(at(NOW));
    let mut facts = Observation { mirror, ..seen() };
    facts.status.history = vec![recorded("current")];
    let remote = facts.secret.as_mut().unwrap();
    remote.current = Some(Current { version: ours.clone(), ..current(0) });
    relabelled(remote, "AWSPREVIOUS", id("theirs"));
    let failure = Failure { class: Class::Denied, reason: Reason::AccessDenied, message: "denied".to_owned(), request_id: None };
    let failed = Failed { aspect: ConditionType::Provisioned, failure };
    facts.journal.record(Step::RestoreCurrent { to: id("theirs"), from: ours }, Effect::Failed(failed));
    facts
}

#[test]
fn the_secret_is_repaired_with_the_version_that_it_held_while_aws_refuses_to_restore_the_current_one() {
    let MirrorState::Ours { version, written, .. } = mirrored("current") else { panic!() };
    let edited = MirrorState::Ours { version, written, intact: false, changed: None, revision: None };
    let version = || id("current");
    let table = [
        (MirrorState::Absent, Some(Step::CreateMirror { version: version() })),
        (edited, Some(Step::ReplaceMirror { version: version(), confirm: false })),
        (mirrored("current"), None),
    ];
    for (mirror, repair) in table {
        let mut facts = refused(mirror.clone());
        if let Some(repair) = repair {
            assert_eq!(step(&want(), &facts), repair);
            facts.journal.record(repair, Effect::Applied { at: at(NOW) });
        }
        // Another version in the Secret would leave no trace of the external one.
        assert_eq!(rest(&want(), &facts).provisioned.unwrap().reason, Reason::AccessDenied, "{mirror:?}");
    }
}

#[test]
fn an_external_value_that_came_before_the_first_one_of_the_operator_is_current_again() {
    let mut facts = Observation { mirror: MirrorState::Absent, ..seen() };
    let remote = facts.secret.as_mut().unwrap();
    remote.current = Some(current(0));
    remote.labels = labels(&[("AWSCURRENT", "current"), ("AWSPREVIOUS", "theirs")]);
    let first = Step::Put {
        version: id("current"),
        cause: Cause::Created,
        stage: Stage::Current,
        predecessor: None,
        source: Source::Compose,
        label: None,
    };
    facts.journal.record(first, Effect::Applied { at: at(NOW) });
    assert_eq!(step(&want(), &facts), Step::RestoreCurrent { to: id("theirs"), from: id("current") });

    facts.secret.as_mut().unwrap().labels.remove("AWSPREVIOUS");
    assert_eq!(step(&want(), &facts), Step::CreateMirror { version: id("current") }, "nothing came in between");
}

#[test]
fn a_version_that_a_function_made_is_not_taken_back_for_an_external_one_in_between() {
    let lost = |version: VersionId, by_aws: bool| {
        let mut facts = Observation { mirror: mirrored("current"), ..seen() };
        facts.status.history = vec![recorded("current")];
        let remote = facts.secret.as_mut().unwrap();
        remote.current = Some(Current { version, ..current(0) });
        (remote.rotation.enabled, remote.rotation.claimed) = (by_aws, by_aws);
        relabelled(remote, "AWSPREVIOUS", id("theirs"));
        matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::RestoreCurrent { .. }))
    };
    let (requested, declared) = (ids().request("t"), ids().declaration(&id("current"), &declared("admin").hash()));
    assert!(lost(requested.clone(), false), "the operator wrote it");
    assert!(!lost(requested, true), "the function has set it in the database");
    assert!(lost(declared, true), "a change of the declaration is written by the operator");
}
