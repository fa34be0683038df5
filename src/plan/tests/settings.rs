//! Settings of the AWS secret beside its value.

use super::super::settings::*;
use super::*;
use crate::desired::Setting;

fn asked(key: &str) -> Setting<String> {
    Setting::Set(key.to_owned())
}

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const OTHER: &str = "abcd1234-12ab-34cd-56ef-1234567890ab";

#[test]
fn a_key_is_set_when_another_one_is_in_use_and_taken_back_only_while_it_is_the_one_that_we_set() {
    let facts = |shown, kept, kept_shown| KeyFacts { shown, kept, kept_shown, just_set: false };
    let (alias, other) = (Some("alias/shop"), Some("alias/other"));
    let refused = || Setting::Rejected(Refusal::new(Reason::KeyNotAllowed, ""));
    let table = [
        ("as declared", asked("alias/shop"), facts(alias, None, None), None),
        ("the default key", asked("alias/shop"), facts(None, None, None), Some("alias/shop")),
        ("changed outside", asked("alias/shop"), facts(other, alias, alias), Some("alias/shop")),
        ("changed in the spec", asked("alias/shop"), facts(other, other, other), Some("alias/shop")),
        ("the default key by name", asked("alias/aws/secretsmanager"), facts(None, None, None), None),
        ("an id that was shown when the alias was set", asked("alias/shop"), facts(Some(ID), alias, Some(ID)), None),
        ("an id where the alias was never set", asked("alias/shop"), facts(Some(ID), None, None), Some("alias/shop")),
        ("another id than when the alias was set", asked("alias/shop"), facts(Some(OTHER), alias, Some(ID)), Some("alias/shop")),
        ("another alias for what may be the same id", asked("alias/shop"), facts(Some(ID), other, Some(ID)), Some("alias/shop")),
        ("mentioned no longer", Setting::Unset, facts(alias, alias, alias), Some("")),
        ("mentioned no longer, and somebody's by now", Setting::Unset, facts(other, alias, alias), None),
        ("mentioned no longer, and the default by now", Setting::Unset, facts(None, alias, alias), None),
        ("never mentioned", Setting::Unset, facts(alias, None, None), None),
        ("not allowed", refused(), facts(alias, alias, alias), None),
        ("not allowed any more", refused(), facts(other, alias, alias), None),
    ];
    for (what, wanted, facts, expected) in table {
        assert_eq!(rekey(&wanted, facts).as_deref(), expected, "{what}");
    }
    let just_set = KeyFacts { shown: Some(ID), kept: None, kept_shown: None, just_set: true };
    assert_eq!(rekey(&asked("alias/shop"), just_set), None, "set a moment ago: what AWS shows is that key");
}

fn replica(region: &str, key: Option<&str>, state: ReplicaState) -> Replica {
    let why = (state == ReplicaState::Failed).then_some("NameExists");
    Replica { region: region.to_owned(), key: key.map(str::to_owned), state, why }
}

fn replicas(wanted: &[(&str, Option<&str>)]) -> Setting<BTreeMap<String, Option<String>>> {
    Setting::Set(wanted.iter().map(|(region, key)| ((*region).to_owned(), key.map(str::to_owned))).collect())
}

#[test]
fn replicas_are_added_removed_and_given_their_keys_and_those_that_nobody_mentions_stay() {
    let facts = ReplicaFacts { anew: false, last_changed: Some(at(NOW - 60)), now: at(NOW) };
    let found = || vec![replica("eu-west-1", None, ReplicaState::InSync), replica("eu-north-1", Some("alias/dr"), ReplicaState::InSync)];
    let drift = |wanted| Settings::default().replicated(&wanted, found(), facts);
    let none = drift(Setting::Unset);
    assert!(none.add.is_empty() && none.stop.is_empty() && none.rekey_replicas.is_empty() && none.replicas == found());
    let all = drift(replicas(&[]));
    assert_eq!(all.stop, BTreeSet::from(["eu-north-1".to_owned(), "eu-west-1".to_owned()]));
    let same = drift(replicas(&[("eu-west-1", Some("alias/aws/secretsmanager")), ("eu-north-1", Some("alias/dr"))]));
    assert!(same.add.is_empty() && same.stop.is_empty() && same.rekey_replicas.is_empty());
    let changed = drift(replicas(&[("eu-west-1", Some("alias/new")), ("eu-north-1", None), ("eu-south-1", Some("alias/s"))]));
    assert_eq!(changed.add, BTreeMap::from([("eu-south-1".to_owned(), Some("alias/s".to_owned()))]));
    let keys = [("eu-north-1", "alias/aws/secretsmanager"), ("eu-west-1", "alias/new")];
    assert_eq!(changed.rekey_replicas, keys.map(|(region, key)| (region.to_owned(), key.to_owned())).into());
    assert!(changed.stop.is_empty());
    let refused = drift(Setting::Rejected(Refusal::new(Reason::RegionNotAllowed, "")));
    assert!(refused.add.is_empty() && refused.stop.is_empty() && refused.rekey_replicas.is_empty());
}

#[test]
fn a_replica_that_failed_is_asked_for_again_after_ten_minutes_or_when_the_spec_is_another() {
    let wanted = replicas(&[("eu-west-1", None)]);
    for (anew, age, again) in [(false, 60, false), (false, 599, false), (false, 600, true), (true, 60, true)] {
        let facts = ReplicaFacts { anew, last_changed: Some(at(NOW - age)), now: at(NOW) };
        let found = vec![replica("eu-west-1", None, ReplicaState::Failed)];
        assert_eq!(Settings::default().replicated(&wanted, found, facts).add.len(), usize::from(again), "{anew} {age}");
    }
}

fn with(settings: Settings, wanted: crate::desired::Settings) -> (Desired, Observed) {
    (Desired { settings: wanted, ..want() }, Observed { remote: Some(Remote { settings, ..remote() }), ..seen() })
}

fn rest_of(want: &Desired, seen: &Observed) -> Rest {
    let Next::Rest(rest) = plan(want, seen, at(NOW)) else { panic!("no rest: {seen:?}") };
    rest
}

#[test]
fn a_setting_that_aws_refuses_is_said_and_holds_up_neither_the_others_nor_the_rotation() {
    let (want, mut facts) = with(all_differs(), crate::desired::Settings::default());
    facts.remote.as_mut().unwrap().current = Some(current(PERIOD + 60));
    let refused = Refusal::new(Reason::PolicyRefused, "no");
    let mut steps = Vec::new();
    loop {
        match plan(&want, &facts, at(NOW)) {
            Next::Do(Step::PutPolicy) => drop(facts.tried.insert("PutPolicy".to_owned(), Some(refused.clone()))),
            Next::Do(step @ Step::Write { .. }) => {
                steps.push(step.kind());
                break;
            }
            Next::Do(step) => {
                steps.push(step.kind());
                carry_out(&want, &mut facts, &step);
            }
            Next::Rest(rest) => panic!("{rest:?}"),
        }
    }
    assert_eq!(steps, ["Untag", "SetKey", "StopReplicating", "Replicate", "SetReplicaKey", "Write"]);
    facts.remote.as_mut().unwrap().current = Some(current(60));
    let rest = rest_of(&want, &facts);
    assert_eq!((rest.settings, rest.provisioned), (Some(refused), None));
}

#[test]
fn what_aws_does_not_show_yet_is_waited_for_and_not_done_twice_in_a_turn() {
    let (want, mut facts) =
        with(Settings { rekey: Some("alias/shop".to_owned()), ..Settings::default() }, crate::desired::Settings::default());
    facts.tried.insert("SetKey".to_owned(), None);
    let rest = rest_of(&want, &facts);
    assert_eq!(rest.settings.unwrap().reason, Reason::Progressing);
    assert!(rest.wake.unwrap() < at(NOW + 60));
}

#[test]
fn replicas_that_are_asked_for_and_not_in_sync_are_said_the_failed_ones_first() {
    let wanted = crate::desired::Settings { replicas: replicas(&[("eu-west-1", None), ("eu-north-1", None)]), ..Default::default() };
    let of = |states: &[(&str, ReplicaState)]| Settings {
        replicas: states.iter().map(|(region, state)| replica(region, None, *state)).collect(),
        ..Settings::default()
    };
    let table = [
        (&[("eu-north-1", ReplicaState::InSync), ("eu-west-1", ReplicaState::InSync)][..], None),
        (&[("eu-north-1", ReplicaState::InProgress), ("eu-west-1", ReplicaState::InSync)], Some((Reason::Progressing, "eu-north-1"))),
        (&[("eu-north-1", ReplicaState::Pending), ("eu-west-1", ReplicaState::Failed)], Some((Reason::ReplicaFailed, "eu-west-1"))),
        (&[("eu-west-1", ReplicaState::Detached)], Some((Reason::ReplicaFailed, "eu-west-1"))),
        (&[("us-east-1", ReplicaState::Failed)], None),
    ];
    for (states, expected) in table {
        let (want, facts) = with(of(states), wanted.clone());
        let found = rest_of(&want, &facts).settings;
        assert_eq!(found.as_ref().map(|refusal| refusal.reason), expected.map(|(reason, _)| reason), "{states:?}");
        assert!(expected.is_none_or(|(_, region)| found.unwrap().message.contains(region)), "{states:?}");
    }
}

#[test]
fn what_the_administrator_does_not_allow_is_said_and_a_key_is_needed_before_anything_is_created() {
    let refusal = || Refusal::new(Reason::KeyNotAllowed, "not this one");
    let key = crate::desired::Settings { key: Setting::Rejected(refusal()), ..Default::default() };
    let policy = crate::desired::Settings { policy: Setting::Rejected(refusal()), ..Default::default() };
    for wanted in [&key, &policy] {
        let (want, facts) = with(Settings::default(), wanted.clone());
        assert_eq!(rest_of(&want, &facts).settings, Some(refusal()));
    }
    let nothing = Observed { remote: None, mirror: Mirror::Absent, ..seen() };
    let creates = |wanted: &crate::desired::Settings| plan(&Desired { settings: wanted.clone(), ..want() }, &nothing, at(NOW));
    assert!(matches!(creates(&policy), Next::Do(Step::Create { .. })));
    let Next::Rest(rest) = creates(&key) else { panic!() };
    assert_eq!(rest.provisioned, Some(refusal()));
}
