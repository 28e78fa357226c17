/* Who comes has a key. There is no password to guess, and no way through to others. */
#define DROPBEAR_SVR_PASSWORD_AUTH 0
#define DROPBEAR_SVR_PUBKEY_AUTH 1
#define DROPBEAR_SVR_LOCALTCPFWD 0
#define DROPBEAR_SVR_REMOTETCPFWD 0
#define DROPBEAR_SVR_LOCALSTREAMFWD 0
#define DROPBEAR_SVR_AGENTFWD 0
#define DROPBEAR_X11FWD 0
#define INETD_MODE 0
#define DO_MOTD 0
#define DROPBEAR_SFTPSERVER 0
#define MAX_AUTH_TRIES 3

/* Its own key is of one kind; clients may bring the common ones. */
#define DROPBEAR_DELAY_HOSTKEY 0
#define DROPBEAR_DSS 0
#define DROPBEAR_RSA 1
#define DROPBEAR_RSA_SHA1 0
#define DROPBEAR_ECDSA 1
#define DROPBEAR_ED25519 1

/* What every OpenSSH since 2014 speaks. */
#define DROPBEAR_AES128 0
#define DROPBEAR_DH_GROUP14_SHA1 0
#define DROPBEAR_DH_GROUP14_SHA256 0
#define DROPBEAR_ECDH 0

#define DROPBEAR_SMALL_CODE 0
