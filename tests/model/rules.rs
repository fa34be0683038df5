//! What must hold, whatever happens.

use rotated_secrets::api::{AWSPENDING, STAGED_LABEL};
use stateright::Property;

use crate::machine::Machine;
use crate::state::World;

/// What sometimes holds: otherwise the model does nothing.
pub(crate) const ENDS: &str = "a rotation ends";

pub(crate) fn all() -> Vec<Property<Machine>> {
    vec![
        Property::always("what the server accepts has a label in AWS", |_, world| accepted_is_labelled(world)),
        Property::always("a version that does not work is never current", |_, world| !broken_is_current(world)),
        Property::always("at rest, the Secret and the server have the current version", |_, world| !at_rest(world) || agrees(world)),
        Property::always("at rest, no version is on its way", |_, world| !at_rest(world) || nothing_is_staged(world)),
        Property::always("at rest, the version that another client chose is current", |_, world| {
            !at_rest(world) || world.chosen.is_none() || world.chosen.as_ref() == world.aws.current()
        }),
        Property::sometimes(ENDS, |_, world| at_rest(world) && world.server > 0),
    ]
}

fn at_rest(world: &World) -> bool {
    world.at_rest && world.calm
}

fn accepted_is_labelled(world: &World) -> bool {
    world.aws.labels.values().any(|version| world.aws.password(version) == Some(world.server))
}

fn broken_is_current(world: &World) -> bool {
    world.broken.is_some() && world.broken.as_ref() == world.aws.current()
}

fn agrees(world: &World) -> bool {
    let Some(current) = world.aws.current() else { return false };
    let mirrored = world.mirror.as_ref().is_some_and(|mirror| mirror.version == *current);
    mirrored && (world.aside || world.aws.password(current) == Some(world.server))
}

fn nothing_is_staged(world: &World) -> bool {
    [AWSPENDING, STAGED_LABEL].iter().all(|label| world.aws.labelled(label).is_none())
}
