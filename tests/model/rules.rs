//! What must hold, whatever happens.

use rotated_secrets::api::{ABANDONED_LABEL, AWSPENDING, AWSPREVIOUS, STAGED_LABEL};
use rotated_secrets::version_id::VersionId;
use stateright::Property;

use crate::machine::{FOREIGN, Machine, Users};
use crate::state::World;

/// What sometimes holds: otherwise the model does nothing.
pub(crate) const ENDS: &str = "a rotation ends";

pub(crate) fn all() -> Vec<Property<Machine>> {
    vec![
        Property::always("the server accepts a version that has a label in AWS", |_, world| accepted_is_labelled(world)),
        Property::always("of two passwords, the one that pods have logs in", |machine: &Machine, world| pods_log_in(machine.users, world)),
        Property::always("a version that does not work is never current", |_, world| !broken_is_current(world)),
        Property::always("at rest, the Secret and the server have the current version", |machine: &Machine, world| {
            !at_rest(world) || agrees(machine.users, world)
        }),
        Property::always("at rest, the server refuses what was abandoned", |machine: &Machine, world| {
            !at_rest(world) || refuses_abandoned(machine.users, world)
        }),
        Property::always("at rest, no version is on its way", |_, world| !at_rest(world) || nothing_is_staged(world)),
        Property::always("at rest, the version that another client chose is current", |_, world| {
            !at_rest(world) || world.chosen.is_none() || world.chosen.as_ref() == world.aws.current()
        }),
        Property::always(
            "after a deletion, the server has the current version, and no other one is on its way",
            |machine: &Machine, world: &World| !world.calm || world.gone != Some(false) || is_left_well(machine.users, world),
        ),
        Property::sometimes(ENDS, |_, world| at_rest(world) && world.server.accepted.iter().flatten().any(|password| *password > 0)),
    ]
}

fn at_rest(world: &World) -> bool {
    world.at_rest && world.calm
}

fn accepted_is_labelled(world: &World) -> bool {
    world.aws.labels.values().any(|version| world.server.accepts(&world.aws, version))
}

/// One password changes at once, so pods may have the one before for a moment. Of two users, or of two passwords of one
/// user, the one in use stays.
/// What another client put or chose need not be in the server.
fn pods_log_in(users: Users, world: &World) -> bool {
    let Some(mirror) = &world.mirror else { return true };
    let foreign = mirror.version.as_str() == FOREIGN || world.aside || world.chosen.as_ref() == Some(&mirror.version);
    users == Users::One || foreign || world.server.accepts(&world.aws, &mirror.version)
}

/// A user that changes its own password has no mark that keeps a process out that was stopped just before the login. It may
/// apply a version after that was abandoned, or, after a rollback, one that was current. The check of the target tells, and the
/// next rotation logs in with that version, which AWS keeps for that.
fn has_an_earlier_one(users: Users, world: &World) -> bool {
    let kept = [ABANDONED_LABEL, AWSPREVIOUS].map(|label| world.aws.labelled(label));
    users != Users::Two && world.applied_late && kept.iter().flatten().any(|version| world.server.accepts(&world.aws, version))
}

/// A late process may apply it again. What the server had before, from another version, is not taken away.
fn refuses_abandoned(users: Users, world: &World) -> bool {
    let abandoned = world.aws.labelled(ABANDONED_LABEL).filter(|version| !is_copied(world, version));
    users != Users::Two && world.applied_late || abandoned.is_none_or(|version| !world.server.accepts(&world.aws, version))
}

/// Whether another version has the same value, by a rollback.
fn is_copied(world: &World, version: &VersionId) -> bool {
    let value = |version: &VersionId| world.aws.versions.get(version).map(|version| (version.user, version.password));
    world.aws.current() == Some(version) || world.aws.labels.values().any(|other| other != version && value(other) == value(version))
}

fn broken_is_current(world: &World) -> bool {
    world.broken.is_some() && world.broken.as_ref() == world.aws.current()
}

fn agrees(users: Users, world: &World) -> bool {
    let Some(current) = world.aws.current() else { return false };
    let mirrored = world.mirror.as_ref().is_some_and(|mirror| mirror.version == *current);
    mirrored && (world.aside || world.server.accepts(&world.aws, current) || has_an_earlier_one(users, world))
}

fn is_left_well(users: Users, world: &World) -> bool {
    let accepts = |version| world.server.accepts(&world.aws, version);
    let current = world.aside || world.aws.current().is_some_and(accepts) || has_an_earlier_one(users, world);
    // A label on the version that is current does no harm.
    let staged = [AWSPENDING, STAGED_LABEL].into_iter().filter_map(|label| world.aws.labelled(label));
    current && !broken_is_current(world) && staged.into_iter().all(|version| world.aws.current() == Some(version))
}

fn nothing_is_staged(world: &World) -> bool {
    [AWSPENDING, STAGED_LABEL].iter().all(|label| world.aws.labelled(label).is_none())
}
