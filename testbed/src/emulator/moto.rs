//! moto, an independent emulator, beside which the rule suite is run to catch misreadings of ours.
