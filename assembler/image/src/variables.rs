//! The store of UEFI variables that a machine begins with, with the keys of Secure Boot in it.
//!
//! Follows EDK II's `MdeModulePkg/Include/Guid/VariableFormat.h` (authenticated variables) and the
//! UEFI Platform Initialization Specification 1.8, III 3.2.1 (firmware volumes); the keys' lists
//! follow the UEFI Specification 2.10, 32.4.1. A store without a platform key is in setup mode and
//! starts anything. With one, firmware that has Secure Boot starts only what a key in `db` signed.

use crate::{identity::Guid, uki::Certificate};

/// What says that bytes are a firmware volume, and where it stands.
const VOLUME: &[u8] = b"_FVH";
const VOLUME_AT: usize = 40;
/// Where a volume says how long its header is.
const HEADER_LEN_AT: usize = 48;
/// What a volume with variables is called, and a store of authenticated ones.
const NV_DATA: Guid = Guid::from_u128(0xfff12b8d_7696_4c8b_a985_2747075b4f50);
const AUTHENTICATED: Guid = Guid::from_u128(0xaaf32c78_947b_439a_a180_2e144ec37792);
/// Bytes of a store's header, which ends in its state: formatted and healthy.
const STORE_HEADER: usize = 28;
const STORE_STATE: [u8; 2] = [0x5a, 0xfe];
/// Bytes of a variable's header, and what each begins on a multiple of.
const HEADER: usize = 60;
const ALIGN: usize = 4;
/// What a variable begins with: that it is one, and that it holds.
const START: [u8; 4] = [0xaa, 0x55, 0x3f, 0x00];

/// Who names the variables.
const GLOBAL: Guid = Guid::from_u128(0x8be4df61_93ca_11d2_aa0d_00e098032b8c);
const IMAGE_SECURITY: Guid = Guid::from_u128(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f);
const SECURE_BOOT_ENABLE: Guid = Guid::from_u128(0xf0a30bc7_af08_4556_99c4_001009c93a44);
/// A list of certificates.
const X509: Guid = Guid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);
/// Kept without power; seen at boot, and by what was booted; written by who signs with a time.
const KEPT: u32 = 0x03;
const KEY: u32 = 0x27;
/// When the keys were written, 2010-01-01: whoever writes them again says a later time.
const TIME: [u8; 16] = [0xda, 0x07, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Whose keys a machine begins with.
#[derive(Debug, Clone)]
pub struct Keys<'a> {
    /// Who may change the exchange keys: the platform's owner.
    pub platform: &'a Certificate,
    /// Who may change what is started.
    pub exchange: &'a [Certificate],
    /// Whose signatures start a program.
    pub db: &'a [Certificate],
}

/// Why there is no store with keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not what firmware keeps its variables in.
    #[error(
        "this is no store of UEFI variables that can hold keys: give the _VARS.fd that belongs to \
         the firmware"
    )]
    NoStore,
    /// Somebody has used it.
    #[error("there are variables in the store already: give it as it was built")]
    NotEmpty,
    /// The keys take more than there is.
    #[error("the keys take {needed} bytes, and the store has room for {room}: enrol fewer")]
    Full {
        /// Bytes of the variables.
        needed: usize,
        /// Bytes that are free.
        room: usize,
    },
}

/// Gives an empty store with keys in it.
///
/// `owner` names who enrolled them, in the lists of keys.
pub fn enrol(empty: &[u8], keys: &Keys<'_>, owner: Guid) -> Result<Vec<u8>, Error> {
    let (first, end) = place(empty).ok_or(Error::NoStore)?;
    if empty[first..end].iter().any(|byte| *byte != 0xff) {
        return Err(Error::NotEmpty);
    }
    let mut variables = Vec::new();
    let lists = |certificates: &[Certificate]| -> Vec<u8> {
        certificates.iter().flat_map(|each| list(each, owner)).collect()
    };
    put(&mut variables, GLOBAL, "PK", KEY, &list(keys.platform, owner));
    put(&mut variables, GLOBAL, "KEK", KEY, &lists(keys.exchange));
    put(&mut variables, IMAGE_SECURITY, "db", KEY, &lists(keys.db));
    put(&mut variables, SECURE_BOOT_ENABLE, "SecureBootEnable", KEPT, &[1]);
    let (needed, room) = (variables.len(), end - first);
    if needed > room {
        return Err(Error::Full { needed, room });
    }
    let mut store = empty.to_vec();
    store[first..first + needed].copy_from_slice(&variables);
    Ok(store)
}

/// Where in a firmware volume variables may stand.
fn place(volume: &[u8]) -> Option<(usize, usize)> {
    let at = |at: usize, len: usize| volume.get(at..at.checked_add(len)?);
    let is_volume = at(VOLUME_AT, VOLUME.len())? == VOLUME && at(16, 16)? == NV_DATA.mixed_endian();
    let header = usize::from(u16::from_le_bytes(at(HEADER_LEN_AT, 2)?.try_into().ok()?));
    let store = at(header, STORE_HEADER)?;
    let is_store = store[..16] == AUTHENTICATED.mixed_endian() && store[20..22] == STORE_STATE;
    let size = usize::try_from(u32::from_le_bytes(store[16..20].try_into().ok()?)).ok()?;
    let end = header.checked_add(size).filter(|end| *end <= volume.len())?;
    let first = header + STORE_HEADER.next_multiple_of(ALIGN);
    (is_volume && is_store && first <= end).then_some((first, end))
}

/// A list of one certificate.
fn list(certificate: &Certificate, owner: Guid) -> Vec<u8> {
    let der = certificate.der();
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    [
        &X509.mixed_endian()[..],
        &size(28 + 16 + der.len()),
        &size(0),
        &size(16 + der.len()),
        &owner.mixed_endian(),
        der,
    ]
    .concat()
}

/// Puts a variable behind the others.
fn put(variables: &mut Vec<u8>, vendor: Guid, name: &str, attributes: u32, data: &[u8]) {
    let name: Vec<u8> =
        name.encode_utf16().chain([0]).flat_map(|unit| unit.to_le_bytes()).collect();
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let begun = variables.len();
    variables.extend(START);
    variables.extend(attributes.to_le_bytes());
    variables.extend(0_u64.to_le_bytes());
    variables.extend(if attributes == KEY { TIME } else { [0; 16] });
    variables.extend(0_u32.to_le_bytes());
    variables.extend(size(name.len()));
    variables.extend(size(data.len()));
    variables.extend(vendor.mixed_endian());
    debug_assert_eq!(variables.len() - begun, HEADER);
    variables.extend(name);
    variables.extend(data);
    variables.resize(variables.len().next_multiple_of(ALIGN), 0xff);
}
