//! Settings of the AWS secret beside its value.

use super::*;
use crate::desired::Setting;
use crate::failure::Failed;

fn replica(region: &str, key: Option<&str>, state: ReplicaState) -> Replica {
    let why = (state == ReplicaState::Failed).then_some("NameExists");
    Replica { region: region.to_owned(), key: key.map(str::to_owned), state, why }
}

fn replicas(wanted: &[(&str, Option<&str>)]) -> Setting<BTreeMap<String, Option<String>>> {
    Setting::Set(wanted.iter().map(|(region, key)| ((*region).to_owned(), key.map(str::to_owned))).collect())
}

fn with(drift: Drift, wanted: crate::desired::Settings) -> (Desired, Observation) {
    (Desired { settings: wanted, ..want() }, Observation { secret: Some(SecretState { drift, ..secret() }), ..seen() })
}

fn rest_of(want: &Desired, seen: &Observation) -> Rest {
    let Next::Rest(rest) = plan(want, seen, at(NOW)) else { panic!("no rest: {seen:?}") };
    rest
}

#[test]
fn a_setting_that_aws_refuses_is_said_and_holds_up_neither_the_others_nor_the_rotation() {
    let (want, mut facts) = with(all_differs(), crate::desired::Settings::default());
    facts.secret.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let refused = Refusal::new(Reason::PolicyRefused, "no");
    let mut steps = Vec::new();
    loop {
        match plan(&want, &facts, at(NOW)) {
            Next::Do(Step::PutPolicy) => facts.journal.record(Step::PutPolicy, Effect::Failed(Failed::denied(&refused))),
            Next::Do(step @ Step::Put { .. }) => {
                steps.push(step.kind());
                break;
            }
            Next::Do(step) => {
                steps.push(step.kind());
                carry_out(&mut facts, &step);
            }
            Next::Rest(rest) => panic!("{rest:?}"),
        }
    }
    assert_eq!(steps, ["Untag", "SetKey", "StopReplicating", "Replicate", "SetReplicaKey", "Put"]);
    facts.secret.as_mut().unwrap().current = Some(current(60));
    let rest = rest_of(&want, &facts);
    assert_eq!((rest.settings, rest.provisioned), (Some(refused), None));
}

#[test]
fn what_aws_does_not_show_yet_is_waited_for_and_not_done_twice_in_a_turn() {
    let (want, mut facts) = with(Drift { key: Some("alias/shop".to_owned()), ..Drift::default() }, crate::desired::Settings::default());
    facts.journal.record(Step::SetKey { key: "alias/shop".to_owned() }, Effect::Applied { at: at(NOW) });
    let rest = rest_of(&want, &facts);
    assert_eq!(rest.settings.unwrap().reason, Reason::Progressing);
    assert!(rest.wake.unwrap() < at(NOW + 60));
}

#[test]
fn replicas_that_are_asked_for_and_not_in_sync_are_said_the_failed_ones_first() {
    let wanted = crate::desired::Settings { replicas: replicas(&[("eu-west-1", None), ("eu-north-1", None)]), ..Default::default() };
    let of = |states: &[(&str, ReplicaState)]| states.iter().map(|(region, state)| replica(region, None, *state)).collect();
    let table = [
        (&[("eu-north-1", ReplicaState::InSync), ("eu-west-1", ReplicaState::InSync)][..], None),
        (&[("eu-north-1", ReplicaState::InProgress), ("eu-west-1", ReplicaState::InSync)], Some((Reason::Progressing, "eu-north-1"))),
        (&[("eu-north-1", ReplicaState::Pending), ("eu-west-1", ReplicaState::Failed)], Some((Reason::ReplicaFailed, "eu-west-1"))),
        (&[("eu-west-1", ReplicaState::Detached)], Some((Reason::ReplicaFailed, "eu-west-1"))),
        (&[("us-east-1", ReplicaState::Failed)], None),
    ];
    for (states, expected) in table {
        let (want, mut facts) = with(Drift::default(), wanted.clone());
        facts.secret.as_mut().unwrap().replicas = of(states);
        let found = rest_of(&want, &facts).settings;
        assert_eq!(found.as_ref().map(|refusal| refusal.reason), expected.map(|(reason, _)| reason), "{states:?}");
        assert!(expected.is_none_or(|(_, region)| found.unwrap().message.contains(region)), "{states:?}");
    }
}

#[test]
fn a_failed_replica_is_looked_at_again_when_it_may_be_requested_again() {
    let wanted = crate::desired::Settings { replicas: replicas(&[("eu-west-1", None)]), ..Default::default() };
    let wake = |state, age: i64| {
        let (want, mut facts) = with(Drift::default(), wanted.clone());
        let secret = facts.secret.as_mut().unwrap();
        (secret.replicas, secret.last_changed) = (vec![replica("eu-west-1", None, state)], Some(at(NOW - age)));
        rest_of(&want, &facts).wake.filter(|wake| *wake <= at(NOW + 600))
    };
    assert_eq!(wake(ReplicaState::Failed, 60), Some(at(NOW + 540)));
    assert_eq!(wake(ReplicaState::Failed, 600), None, "it was requested in this reconcile, and AWS does not show it yet");
    assert_eq!(wake(ReplicaState::Detached, 60), None);
    assert_eq!(wake(ReplicaState::InSync, 60), None);
}

#[test]
fn what_the_administrator_does_not_allow_is_said_and_a_key_is_needed_before_anything_is_created() {
    let refusal = || Refusal::new(Reason::KeyNotAllowed, "not this one");
    let key = crate::desired::Settings { key: Setting::Rejected(refusal()), ..Default::default() };
    let policy = crate::desired::Settings { policy: Setting::Rejected(refusal()), ..Default::default() };
    for wanted in [&key, &policy] {
        let (want, facts) = with(Drift::default(), wanted.clone());
        assert_eq!(rest_of(&want, &facts).settings, Some(refusal()));
    }
    let nothing = Observation { secret: None, mirror: MirrorState::Absent, ..seen() };
    let creates = |wanted: &crate::desired::Settings| plan(&Desired { settings: wanted.clone(), ..want() }, &nothing, at(NOW));
    assert!(matches!(creates(&policy), Next::Do(Step::Create { .. })));
    let Next::Rest(rest) = creates(&key) else { panic!() };
    assert_eq!(rest.provisioned, Some(refusal()));
}
