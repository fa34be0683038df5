//! Whose an AWS secret is, and how it becomes ours.

use super::*;
use crate::api::AwsAdoptionPolicy;

fn owned(ownership: Ownership) -> Observation {
    Observation { secret: Some(SecretState { ownership, ..secret() }), status: StatusFacts::default(), ..seen() }
}

fn refusal(want: &Desired, seen: &Observation) -> Refusal {
    let Next::Rest(Rest { provisioned: Some(refusal), .. }) = plan(want, seen, at(NOW)) else { panic!("no refusal: {seen:?}") };
    refusal
}

#[test]
fn an_adoption_is_said_in_the_status_before_the_tags_are_set_and_said_again_when_the_value_changed_meanwhile() {
    for ownership in [Ownership::Former, Ownership::Adoptable] {
        let mut facts = owned(ownership);
        let Next::Rest(rest) = plan(&want(), &facts, at(NOW)) else { panic!() };
        assert!(rest.adopting && rest.wake == Some(at(NOW)));
        facts.status.history = vec![adopted("before")];
        assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(Rest { adopting: true, .. })));
        facts.status.history = vec![adopted("current")];
        assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Adopt { tags: BTreeMap::new() }));
        // AWS does not show the tags yet.
        facts.journal.record(Step::Adopt { tags: BTreeMap::new() }, Effect::Applied { at: at(NOW) });
        assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(Rest { awaiting: true, adopting: false, .. })));
        // A secret without a value has nothing to be said of.
        facts = owned(ownership);
        facts.secret.as_mut().unwrap().current = None;
        assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Adopt { .. })));
    }
}

#[test]
fn what_a_service_manages_what_aws_rotates_and_what_is_a_replica_is_not_adopted() {
    let with = |change: fn(&mut SecretState)| {
        let mut facts = owned(Ownership::Adoptable);
        change(facts.secret.as_mut().unwrap());
        refusal(&want(), &facts)
    };
    let service = with(|secret| (secret.manager, secret.rotation.foreign) = (Some(Manager::Service), true));
    assert_eq!(service.reason, Reason::NotOwned);
    assert!(service.message.contains("OwningService"));
    let replica = with(|secret| secret.manager = Some(Manager::Primary("eu-west-1".to_owned())));
    assert_eq!(replica.reason, Reason::NotOwned);
    assert!(replica.message.contains("replica of the one in eu-west-1"));
    assert_eq!(with(|remote| remote.rotation.foreign = true).reason, Reason::ForeignRotation);
    assert_eq!(with(|remote| remote.deleted = true).reason, Reason::ScheduledForDeletion);
}

#[test]
fn our_own_secret_is_restored_once_a_turn_and_nobody_elses() {
    for ownership in [Ownership::Ours, Ownership::Former] {
        let mut facts = owned(ownership);
        facts.secret.as_mut().unwrap().deleted = true;
        if ownership == Ownership::Former {
            // If the object is deleted after the restoration, this shows that it has to clean up.
            assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(Rest { adopting: true, .. })));
            facts.status.history = vec![adopted("current")];
        }
        assert_eq!(plan(&want(), &facts, at(NOW)), Next::Do(Step::Restore));
        facts.journal.record(Step::Restore, Effect::Applied { at: at(NOW) });
        assert!(matches!(plan(&want(), &facts, at(NOW)), Next::Rest(Rest { awaiting: true, .. })));
        let mirror_only = Desired { value: None, ..want() };
        assert_eq!(refusal(&mirror_only, &facts).reason, Reason::ScheduledForDeletion);
    }
}

#[test]
fn a_refusal_says_how_it_can_be_adopted_and_what_took_the_place_of_ours() {
    let plain = refusal(&want(), &owned(Ownership::Nobody));
    assert_eq!(plain.reason, Reason::AlreadyExists);
    assert!(plain.message.contains("Key=rotated-secrets.io/adopt-by,Value=shop/db-admin"), "{}", plain.message);
    assert!(!plain.message.contains("does not have"), "{}", plain.message);
    let mut wanting = want();
    wanting.settings.adoption = AwsAdoptionPolicy::IfTagged;
    assert!(refusal(&wanting, &owned(Ownership::Nobody)).message.contains("does not have the tag"));
    assert_eq!(refusal(&want(), &owned(ANOTHER)).reason, Reason::NotOwned);
    for ownership in [Ownership::Nobody, ANOTHER] {
        let mut facts = owned(ownership);
        facts.status.arn = Some("arn:ours".to_owned());
        let gone = refusal(&want(), &facts);
        assert_eq!(gone.reason, Reason::Recreated);
        assert!(gone.message.contains("arn:ours") && gone.message.contains(&secret().arn), "{}", gone.message);
    }
}

#[test]
fn an_object_that_only_mirrors_reads_what_its_namespace_owns_and_what_the_administrator_lists() {
    use Difference::{Cluster, Incomplete, Namespace, NamespaceUid, NamespaceUidUnknown, Object, Uid};
    let mirrors = Desired { value: None, rotation: Rotation::Never, ..want() };
    for (difference, readable, words) in [
        (Cluster, false, "another cluster (see its tag rotated-secrets.io/cluster)"),
        (Namespace, false, "another namespace (see its tag rotated-secrets.io/namespace)"),
        (NamespaceUid, false, "an earlier namespace shop, which was deleted (see its tag rotated-secrets.io/namespace-uid)"),
        (NamespaceUidUnknown, false, "it has no tag rotated-secrets.io/namespace-uid"),
        (Incomplete, false, "some, but not all of the ownership tags"),
        (Object, true, ""),
        (Uid, true, ""),
    ] {
        for listed in [false, true] {
            let mut facts = Observation { mirror: MirrorState::Absent, ..owned(Ownership::Another(difference)) };
            facts.access.listed = listed;
            let next = plan(&mirrors, &facts, at(NOW));
            if readable || listed {
                assert!(matches!(next, Next::Do(Step::CreateMirror { .. })), "{difference:?} {next:?}");
            } else {
                let refusal = refusal(&mirrors, &facts);
                assert_eq!(refusal.reason, Reason::NotOwned);
                assert!(
                    refusal.message.contains(words) && refusal.message.contains("rotated-secrets.io/mirror-names"),
                    "{}",
                    refusal.message
                );
            }
            let message = self::refusal(&want(), &facts).message;
            assert!(message.contains(words) && message.contains("adopt-by"), "{message}");
        }
    }
}

#[test]
fn a_refusal_says_that_the_administrator_allows_less_than_is_declared() {
    let mut wanting = want();
    wanting.settings.adoption_declared = Some(AwsAdoptionPolicy::Always);
    let message = refusal(&wanting, &owned(Ownership::Nobody)).message;
    assert!(message.contains("spec.aws.adoptionPolicy Always is more than the operator allows (--max-adoption-policy)"), "{message}");
}
