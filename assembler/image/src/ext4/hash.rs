//! The hash of a name in an indexed directory: MD4 cut short ("half MD4").

/// The first hash that means the end of a directory to Linux; never given to a name.
const END: u32 = 0x7fff_ffff << 1;

/// The two halves of a name's hash: indexes sort by the first, ties by the second.
pub(super) type Hash = (u32, u32);

/// The hash of `name`, its bytes taken as unsigned. Four zeros as the seed mean the default.
pub(super) fn half_md4(name: &[u8], seed: &[u32; 4]) -> Hash {
    let mut state = match seed {
        [0, 0, 0, 0] => [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
        seed => *seed,
    };
    for at in (0..name.len()).step_by(32) {
        transform(&mut state, &words(&name[at..]));
    }
    let major = state[1] & !1;
    (if major == END { END - 2 } else { major }, state[2])
}

/// The next 32 bytes of a name as words, filled with what is left of its length.
fn words(rest: &[u8]) -> [u32; 8] {
    // Names are 255 bytes at most.
    let pad = (rest.len() as u32 & 0xff) * 0x0101_0101;
    let mut words = [pad; 8];
    for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
        *word = bytes.iter().fold(pad, |value, &byte| value << 8 | u32::from(byte));
    }
    words
}

/// Which word, and by how many bits to turn.
type Step = (usize, u32);

fn transform(state: &mut [u32; 4], words: &[u32; 8]) {
    const FIRST: [Step; 8] = [(0, 3), (1, 7), (2, 11), (3, 19), (4, 3), (5, 7), (6, 11), (7, 19)];
    const SECOND: [Step; 8] = [(1, 3), (3, 5), (5, 9), (7, 13), (0, 3), (2, 5), (4, 9), (6, 13)];
    const THIRD: [Step; 8] = [(3, 3), (7, 9), (2, 11), (6, 15), (1, 3), (5, 9), (0, 11), (4, 15)];
    let [mut a, mut b, mut c, mut d] = *state;
    let mut round = |steps: &[Step; 8], constant: u32, mix: fn(u32, u32, u32) -> u32| {
        for &(word, turn) in steps {
            let sum = a.wrapping_add(mix(b, c, d)).wrapping_add(words[word].wrapping_add(constant));
            (a, d, c, b) = (d, c, b, sum.rotate_left(turn));
        }
    };
    round(&FIRST, 0, |x, y, z| z ^ (x & (y ^ z)));
    round(&SECOND, 0x5a82_7999, |x, y, z| (x & y).wrapping_add((x ^ y) & z));
    round(&THIRD, 0x6ed9_eba1, |x, y, z| x ^ y ^ z);
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are debugfs's: `dx_hash -h half_md4 [-s UUID] NAME`.
    #[test]
    fn known_answers() {
        let seed = [0x0403_0201, 0x0807_0605, 0x0c0b_0a09, 0x100f_0e0d];
        let name = |count| vec![b'n'; count];
        for (name, plain, seeded) in [
            (b"hello".to_vec(), (0x1746_da32, 0x4200_13b5), (0xe2dd_f968, 0xc8bc_0924)),
            (b"abcd".to_vec(), (0xad75_57a8, 0xb1da_437c), (0x3306_0ba6, 0x931b_a061)),
            (name(32), (0x7e81_ef8a, 0xebea_6ceb), (0xd2e5_acb4, 0x6b8b_6b64)),
            (name(70), (0x23dd_9658, 0xe6e8_583a), (0x6c1f_c340, 0x6b13_969f)),
            (name(255), (0xc0f8_fde8, 0xa0c4_4aea), (0x5aea_33c0, 0x0fbc_d617)),
        ] {
            assert_eq!(half_md4(&name, &[0; 4]), plain, "{name:?}");
            assert_eq!(half_md4(&name, &seed), seeded, "{name:?}");
        }
    }
}
