//! What of the settings is remembered as ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::super::settings::{kept, replicas};
use super::*;
use crate::api::{AppliedStatus, ReplicaStatus};
use crate::desired::Setting;
use crate::plan::{PolicyState, Replica, ReplicaState};

fn remote(change: impl FnOnce(&mut Remote)) -> Remote {
    let mut remote = seen(&ids().creation(), 1_800_000_000).remote.unwrap();
    change(&mut remote);
    remote
}

fn asking(change: impl FnOnce(&mut Desired)) -> Desired {
    let mut want = want();
    change(&mut want);
    want
}

fn earlier(kept: AppliedStatus) -> AwsStatus {
    AwsStatus { arn: Some(ARN.to_owned()), applied: Some(kept), ..AwsStatus::default() }
}

#[test]
fn nothing_set_is_nothing_kept() {
    assert_eq!(kept(None, &want(), &remote(|_| ())), None);
    let mirror_only = asking(|want| want.value = None);
    assert_eq!(kept(None, &mirror_only, &remote(|_| ())), None);
}

#[test]
fn the_users_tags_are_kept_and_those_that_could_not_be_taken_away_and_never_our_own() {
    let want = asking(|want| {
        want.tags = [("team", "shop"), ("rotated-secrets.io/uid", "x")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    });
    let left = remote(|remote| remote.settings.surplus_tags = ["old".to_owned()].into());
    assert_eq!(kept(None, &want, &left).unwrap().tag_keys, ["old", "team"]);
}

#[test]
fn a_key_is_kept_once_it_is_in_use_with_the_name_that_aws_has_for_it() {
    let key = Setting::Set("alias/shop".to_owned());
    let want = asking(|want| want.settings.key = key.clone());
    let before =
        earlier(AppliedStatus { kms_key_id: Some("alias/old".to_owned()), kms_key_shown: Some("old".to_owned()), ..AppliedStatus::default() });
    let names = |kept: Option<AppliedStatus>| kept.map(|kept| (kept.kms_key_id.unwrap_or_default(), kept.kms_key_shown.unwrap_or_default()));
    let pair = |one: &str, other: &str| Some((one.to_owned(), other.to_owned()));
    let in_use = remote(|remote| remote.settings.key_shown = Some("id".to_owned()));
    assert_eq!(names(kept(None, &want, &in_use)), pair("alias/shop", "id"));
    let refused = remote(|remote| remote.settings.rekey = Some("alias/shop".to_owned()));
    assert_eq!(names(kept(Some(&before), &want, &refused)), pair("alias/old", "old"), "what is still there is still ours");
    let another = AwsStatus { arn: Some("arn:another".to_owned()), ..before.clone() };
    assert_eq!(kept(Some(&another), &want, &refused), None, "of another secret nothing is known");
    assert_eq!(kept(Some(&before), &super::want(), &in_use), None, "taken back, or somebody else's by now");
}

#[test]
fn a_policy_is_kept_once_it_is_seen_and_looked_at_again_when_it_is_not_as_declared() {
    let before = earlier(AppliedStatus { resource_policy: Some("put".to_owned()), block_public_policy: Some(true), ..AppliedStatus::default() });
    let of = |policy: PolicyState| kept(Some(&before), &want(), &remote(|remote| remote.settings.policy = policy));
    let seen = of(PolicyState::AsDeclared("now".to_owned())).unwrap();
    assert_eq!((seen.resource_policy.as_deref(), seen.last_changed_date), (Some("now"), Some(MicroTime(at(1_800_000_000)))));
    for policy in [PolicyState::Differs, PolicyState::Surplus, PolicyState::Refused(Refusal::new(Reason::AccessDenied, ""))] {
        let still = of(policy).unwrap();
        assert_eq!((still.resource_policy.as_deref(), still.last_changed_date), (Some("put"), None));
    }
    assert_eq!(of(PolicyState::Unmentioned), None);
}

#[test]
fn a_date_survives_the_api_servers_form_to_the_millisecond() {
    let date = Timestamp::from_millisecond(1_800_000_000_123).unwrap();
    let text = serde_json::to_string(&MicroTime(date)).unwrap();
    assert_eq!(serde_json::from_str::<MicroTime>(&text).unwrap().0, date, "{text}");
}

#[test]
fn replicas_are_told_in_closed_words() {
    let row = Replica { region: "eu-west-1".to_owned(), key: None, state: ReplicaState::Failed, why: Some("NameExists") };
    let told = replicas(&remote(|remote| remote.settings.replicas = vec![row]));
    let expected = ReplicaStatus { region: "eu-west-1".to_owned(), status: "Failed".to_owned(), message: Some("NameExists".to_owned()) };
    assert_eq!(told, [expected]);
}
