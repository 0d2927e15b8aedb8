//! Comparing configs without their values.

use tandem_types::environment::Config;

/// Names whose values were added, changed or removed from the one config to the other, sorted. Values are compared
/// by their keyed digests: sealing one value twice gives two ciphertexts.
#[must_use]
pub fn differences(one: &Config, other: &Config) -> Vec<String> {
    let digest = |config: &Config, name: &String| config.values.get(name).map(|value| value.digest.clone());
    let mut names: Vec<_> = one.values.keys().chain(other.values.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| digest(one, name) != digest(other, name));
    names
}
