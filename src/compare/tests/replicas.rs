//! Replicas in other regions.

use super::*;
use crate::desired::key::DEFAULT;
use crate::facts::{Replica, ReplicaState};

const KEY: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
const WEST: &str = "eu-west-1";
const NORTH: &str = "eu-north-1";
const STATES: [ReplicaState; 6] = [
    ReplicaState::InSync,
    ReplicaState::InProgress,
    ReplicaState::Pending,
    ReplicaState::Failed,
    ReplicaState::Detached,
    ReplicaState::Unknown,
];

fn replica(region: &str, key: Option<&str>, state: ReplicaState) -> Replica {
    Replica { region: region.to_owned(), key: key.map(str::to_owned), state, why: None }
}

/// `declared`: regions and keys, or nothing; `shown`: the replicas.
fn replicated(declared: Option<&[(&str, Option<&str>)]>, shown: &[Replica]) -> Scene {
    let regions = declared.map(|regions| {
        let regions = regions.iter().map(|(region, key)| json!({"region": region, "kmsKeyId": key}));
        Value::Array(regions.collect())
    });
    Scene::new(generated(&json!({"replicaRegions": regions}))).with(|scene| scene.aws().replicas = shown.to_vec())
}

fn requested(scene: &Scene) -> Scene {
    scene.clone().with(|scene| scene.want.refresh_request = Some("now".to_owned()))
}

fn added(region: &str, key: Option<&str>) -> Drift {
    Drift { add_replicas: BTreeMap::from([(region.to_owned(), key.map(str::to_owned))]), ..Drift::default() }
}

fn key_set(region: &str, key: &str) -> Drift {
    Drift { replica_keys: strings(&[(region, key)]), ..Drift::default() }
}

#[test]
fn replicas_are_left_alone_if_none_are_declared() {
    for state in STATES {
        let shown = [replica(WEST, Some(KEY), state)];
        let scene = replicated(None, &shown);
        assert_eq!(requested(&scene).drift(), Drift::default(), "{state:?}");
        assert_eq!(scene.secret().replicas, shown);
    }
}

#[test]
fn replicas_in_a_rejected_declaration_change_nothing() {
    let own_region = replicated(Some(&[("eu-central-1", None)]), &[replica(WEST, None, ReplicaState::InSync)]);
    assert!(own_region.want.settings.replicas.rejected().is_some());
    assert_eq!(own_region.drift(), Drift::default());
}

#[test]
fn a_declared_region_without_a_replica_is_added_and_an_undeclared_one_is_removed() {
    let west = || replica(WEST, None, ReplicaState::InSync);
    let north = || replica(NORTH, None, ReplicaState::InSync);
    let removed = |regions: &[&str]| Drift { remove_replicas: regions.iter().map(|one| (*one).to_owned()).collect(), ..Drift::default() };
    for (name, declared, shown, expected) in [
        ("none there", &[(WEST, None)] as &[_], vec![], added(WEST, None)),
        ("none there, with a key", &[(WEST, Some(KEY))], vec![], added(WEST, Some(KEY))),
        ("all there", &[(WEST, None), (NORTH, None)], vec![west(), north()], Drift::default()),
        ("one missing", &[(WEST, None), (NORTH, None)], vec![west()], added(NORTH, None)),
        ("one surplus", &[(WEST, None)], vec![west(), north()], removed(&[NORTH])),
        ("moved", &[(WEST, None)], vec![north()], Drift { remove_replicas: [NORTH.to_owned()].into(), ..added(WEST, None) }),
        ("an empty list", &[], vec![west(), north()], removed(&[NORTH, WEST])),
    ] {
        assert_eq!(replicated(Some(declared), &shown).drift(), expected, "{name}");
    }
    for state in STATES {
        let surplus = replicated(Some(&[]), &[replica(WEST, Some(KEY), state)]);
        assert_eq!(surplus.drift(), removed(&[WEST]), "in whatever state: {state:?}");
    }
}

#[test]
fn a_failed_replica_is_requested_again_after_ten_minutes_or_on_request_and_no_other_is() {
    for state in STATES {
        let scene = replicated(Some(&[(WEST, Some(KEY))]), &[replica(WEST, Some(KEY), state)]);
        for (modified, time) in [(Some(0), false), (Some(599), false), (Some(600), true), (Some(HOUR), true), (None, true)] {
            let aged = scene.clone().with(|scene| scene.aws().last_changed = modified.map(ago));
            let edited = aged.clone().with(|scene| scene.status.current_generation = false);
            let requested = requested(&aged);
            let handled = requested.clone().with(|scene| scene.status.requests.refresh = Some("now".to_owned()));
            for (name, scene, retry) in
                [("by time", aged, time), ("edited", edited, true), ("requested", requested, true), ("handled", handled, time)]
            {
                let expected = if retry && state == ReplicaState::Failed { added(WEST, Some(KEY)) } else { Drift::default() };
                assert_eq!(scene.drift(), expected, "{name}: {state:?} {modified:?}");
            }
        }
    }
}

#[test]
fn the_key_of_a_replica_is_set_if_it_differs_in_every_state_but_failed() {
    for state in STATES.into_iter().filter(|state| *state != ReplicaState::Failed) {
        for (declared, shown, expected) in [
            (Some(KEY), Some(KEY), Drift::default()),
            (Some(KEY), None, key_set(WEST, KEY)),
            (Some(KEY), Some(DEFAULT), key_set(WEST, KEY)),
            (None, None, Drift::default()),
            (None, Some(DEFAULT), Drift::default()),
            // No declared key is the default key of the region.
            (None, Some(KEY), key_set(WEST, DEFAULT)),
            (Some("alias/shop"), Some("alias/other"), key_set(WEST, "alias/shop")),
        ] {
            let scene = replicated(Some(&[(WEST, declared)]), &[replica(WEST, shown, state)]);
            assert_eq!(scene.drift(), expected, "{state:?} {declared:?} {shown:?}");
        }
    }
}

#[test]
fn a_key_of_a_replica_that_cannot_be_compared_is_set_after_an_edit_or_on_request_only() {
    let scene = replicated(Some(&[(WEST, Some("alias/shop"))]), &[replica(WEST, Some(KEY), ReplicaState::InSync)]);
    let edited = scene.clone().with(|scene| scene.status.current_generation = false);
    for (name, scene, set) in [("steady", scene.clone(), false), ("edited", edited, true), ("requested", requested(&scene), true)] {
        assert_eq!(scene.drift(), if set { key_set(WEST, "alias/shop") } else { Drift::default() }, "{name}");
        let key = |region: &str| Step::SetReplicaKey { region: region.to_owned(), key: "alias/shop".to_owned() };
        let there = scene.clone().with(|scene| scene.journal.record(key(NORTH), Effect::Applied { at: now() }));
        assert_eq!(there.drift(), scene.drift(), "{name}: set in another region");
        let just_set = scene.with(|scene| scene.journal.record(key(WEST), Effect::Applied { at: now() }));
        assert_eq!(just_set.drift(), Drift::default(), "{name}: set in this reconcile");
    }
    // A key that can be compared is compared, also after it was set.
    let different = replicated(Some(&[(WEST, Some(KEY))]), &[replica(WEST, None, ReplicaState::InSync)]).with(|scene| {
        let step = Step::SetReplicaKey { region: WEST.to_owned(), key: KEY.to_owned() };
        scene.journal.record(step, Effect::Applied { at: now() });
    });
    assert_eq!(different.drift(), key_set(WEST, KEY));
}

#[test]
fn a_failed_replica_with_another_key_is_requested_again_and_its_key_is_not_set() {
    let scene = replicated(Some(&[(WEST, Some(KEY))]), &[replica(WEST, None, ReplicaState::Failed)]);
    assert_eq!(scene.drift(), added(WEST, Some(KEY)));
}
