//! What proxies have made true, in as many Leases as it takes: an object's annotations end at 256 KiB.

use std::collections::BTreeMap;

use super::Hashes;

/// Bytes of hashes in one Lease. What is refused has its room in the first.
pub(super) const PART_BYTES: usize = 128 << 10;
/// The most Leases of one replica: room for some 80,000 Gateways.
pub(super) const PARTS: usize = 64;
/// Bytes that an entry takes besides its key: quotes, colon, comma, and the longest hash.
const ENTRY_BYTES: usize = 24;

/// The hashes in parts that each fit into a Lease; not fewer parts than there were, and a power of two of them. A hash
/// keeps its part while their number stays; with more of them it stays or goes into a later one.
///
/// Beyond [`PARTS`] there is no room; how many hashes are left out is the second value.
pub(super) fn parts(hashes: Hashes, before: usize) -> (Vec<Hashes>, usize) {
    let placed: Vec<(u64, String, u64)> =
        hashes.into_iter().map(|(key, hash)| (place(&key), key, hash)).collect();
    let mut count = before.next_power_of_two().min(PARTS);
    while count < PARTS && sizes(&placed, count).any(|size| size > PART_BYTES) {
        count *= 2;
    }
    let mut parts = vec![Hashes::new(); count];
    let mut room = vec![PART_BYTES; count];
    let mut left_out = 0;
    for (place, key, hash) in placed {
        let index = index(place, count);
        match room[index].checked_sub(size(&key)) {
            Some(left) => {
                room[index] = left;
                parts[index].insert(key, hash);
            }
            None => left_out += 1,
        }
    }
    (parts, left_out)
}

fn sizes(placed: &[(u64, String, u64)], count: usize) -> impl Iterator<Item = usize> {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, key, _) in placed {
        *sizes.entry(index(*place, count)).or_default() += size(key);
    }
    sizes.into_values()
}

fn size(key: &str) -> usize {
    key.len() + ENTRY_BYTES
}

fn place(key: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

fn index(place: u64, count: usize) -> usize {
    usize::try_from(place % count as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Hashes, PART_BYTES, PARTS, parts};

    fn hashes(count: usize) -> Hashes {
        let name = "n".repeat(60);
        (0..count).map(|number| (format!("Gateway/team-{number}/{name}"), u64::MAX - number as u64)).collect()
    }

    #[test]
    fn all_of_a_large_fleet_is_told_in_leases_that_fit() {
        for count in [0, 1, 1_000, 4_000, 50_000] {
            let (told, left_out) = parts(hashes(count), 0);
            assert_eq!(left_out, 0);
            assert!(told.iter().all(|part| json!(part).to_string().len() <= PART_BYTES + 2));
            assert_eq!(told.into_iter().flatten().collect::<Hashes>(), hashes(count));
        }
        assert_eq!(parts(hashes(1_000), 0).0.len(), 1);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let (told, left_out) = parts(hashes(120_000), 0);
        assert_eq!(told.len(), PARTS);
        assert!(told.iter().all(|part| json!(part).to_string().len() <= PART_BYTES + 2));
        assert_eq!(told.iter().map(Hashes::len).sum::<usize>() + left_out, 120_000);
        assert!(left_out > 0);
    }

    #[test]
    fn a_change_is_one_part_and_more_parts_take_from_earlier_ones() {
        let (before, _) = parts(hashes(4_000), 0);
        let mut changed = hashes(4_000);
        *changed.values_mut().nth(77).unwrap() = 5;
        let (after, _) = parts(changed, before.len());
        assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 1);
        let (fewer, _) = parts(hashes(10), before.len());
        assert_eq!(fewer.len(), before.len(), "they do not come and go");
        let (more, _) = parts(hashes(4_000), before.len() * 2);
        for (index, part) in more.iter().enumerate() {
            for key in part.keys() {
                let was = before.iter().position(|part| part.contains_key(key)).unwrap();
                assert!(was <= index, "{key} went from {was} to {index}");
            }
        }
    }
}
