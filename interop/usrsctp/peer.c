/*
 * usrsctp as a peer in virtual time: packets, messages and the passing of time come in on standard input, and what usrsctp
 * makes of them goes out on standard output. `dunlin-interop sctp` drives it.
 *
 * A frame is a letter, a length of 32 bits in network order, and that many bytes. Each request is answered by any number
 * of frames and then 'd', "done".
 *
 *   requests                                         answers
 *   n  flags: 1 I-DATA, 2 ECN                        p  ECN field, a packet for the other end
 *   c  connect                                       m  flags (2 end), stream 16, first TSN 32, a piece of a message
 *   l  listen                                        e  a word about something that happened
 *   p  ECN field, a packet of the other end          f  the message was not taken
 *   t  milliseconds 32 that have passed              d  done
 *   s  stream 16, flags (1 unordered), policy, value 32, a message
 *   r  stream 16 to be reset
 *   x  shut down
 *   w                                                w  times that a mark has reduced the congestion window 32
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <usrsctp.h>

/* Not in the header of usrsctp 0.9.5, but in the library. */
#define INTERLEAVING_SUPPORTED 0x00001206

#define PORT 5000
#define STREAMS 65535
#define BUFFER (2 << 20)

static struct socket *one;       /* the association's */
static struct socket *listening; /* waits for it */
static uint64_t now_ms = 1000000;

/* The library asks this for the time: a round trip must take as long as the test says. */
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	(void)tz;
	tv->tv_sec = (time_t)(now_ms / 1000);
	tv->tv_usec = (suseconds_t)(now_ms % 1000 * 1000);
	return 0;
}

static void frame(char kind, const void *head, uint32_t head_len, const void *body, uint32_t body_len)
{
	uint32_t len = htonl(head_len + body_len);
	putchar(kind);
	fwrite(&len, 4, 1, stdout);
	if (head_len > 0)
		fwrite(head, head_len, 1, stdout);
	if (body_len > 0)
		fwrite(body, body_len, 1, stdout);
}

static void word(const char *text)
{
	frame('e', NULL, 0, text, (uint32_t)strlen(text));
}

static void fail(const char *what)
{
	fprintf(stderr, "usrsctp: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int packet_out(void *address, void *packet, size_t len, uint8_t tos, uint8_t set_df)
{
	uint8_t ecn = tos & 3;
	(void)address, (void)set_df;
	frame('p', &ecn, 1, packet, (uint32_t)len);
	return 0;
}

static void noted(const union sctp_notification *notice)
{
	switch (notice->sn_header.sn_type) {
	case SCTP_ASSOC_CHANGE:
		switch (notice->sn_assoc_change.sac_state) {
		case SCTP_COMM_UP: word("up"); break;
		case SCTP_COMM_LOST: word("lost"); break;
		case SCTP_RESTART: word("restart"); break;
		case SCTP_SHUTDOWN_COMP: word("shutdown"); break;
		case SCTP_CANT_STR_ASSOC: word("cannot start"); break;
		}
		break;
	case SCTP_STREAM_RESET_EVENT: {
		uint16_t flags = notice->sn_strreset_event.strreset_flags;
		if (flags & (SCTP_STREAM_RESET_DENIED | SCTP_STREAM_RESET_FAILED))
			word("reset refused");
		else if (flags & SCTP_STREAM_RESET_INCOMING_SSN)
			word("reset in");
		else
			word("reset out");
		break;
	}
	}
}

static int received(struct socket *socket, union sctp_sockstore from, void *data, size_t len, struct sctp_rcvinfo info,
		    int flags, void *context)
{
	(void)from, (void)context;
	if (data == NULL) {
		if (socket == one)
			word("end");
		return 1;
	}
	if (flags & MSG_NOTIFICATION) {
		noted(data);
	} else {
		uint8_t head[7];
		uint16_t stream = htons(info.rcv_sid);
		uint32_t tsn = htonl(info.rcv_tsn);
		head[0] = flags & MSG_EOR ? 2 : 0;
		memcpy(head + 1, &stream, 2);
		memcpy(head + 3, &tsn, 4);
		frame('m', head, sizeof head, data, (uint32_t)len);
	}
	free(data);
	return 1;
}

static struct sockaddr_conn place(void)
{
	struct sockaddr_conn address;
	memset(&address, 0, sizeof address);
	address.sconn_family = AF_CONN;
	address.sconn_port = htons(PORT);
	address.sconn_addr = &one;
	return address;
}

static void set(struct socket *socket, int option, const void *value, socklen_t len)
{
	if (usrsctp_setsockopt(socket, IPPROTO_SCTP, option, value, len) < 0)
		fail("setsockopt");
}

/* The options of a socket, and of the associations it will have. */
static void prepare(struct socket *socket, int interleaving)
{
	static const uint16_t events[] = {SCTP_ASSOC_CHANGE, SCTP_STREAM_RESET_EVENT};
	struct sctp_assoc_value value = {SCTP_FUTURE_ASSOC, 0};
	struct sctp_initmsg init;
	struct sctp_paddrparams path;
	struct sockaddr_conn address = place();
	int on = 1, level = interleaving ? 2 : 1;

	usrsctp_set_non_blocking(socket, 1);
	value.assoc_value = SCTP_ENABLE_RESET_STREAM_REQ | SCTP_ENABLE_CHANGE_ASSOC_REQ;
	set(socket, SCTP_ENABLE_STREAM_RESET, &value, sizeof value);
	set(socket, SCTP_NODELAY, &on, sizeof on);
	set(socket, SCTP_FRAGMENT_INTERLEAVE, &level, sizeof level);
	if (interleaving) {
		value.assoc_value = 1;
		set(socket, INTERLEAVING_SUPPORTED, &value, sizeof value);
	}
	memset(&init, 0, sizeof init);
	init.sinit_num_ostreams = STREAMS;
	init.sinit_max_instreams = STREAMS;
	init.sinit_max_attempts = 1000;
	set(socket, SCTP_INITMSG, &init, sizeof init);
	memset(&path, 0, sizeof path);
	path.spp_address.ss_family = AF_CONN;
	path.spp_flags = SPP_PMTUD_DISABLE;
	path.spp_pathmtu = 1191;
	set(socket, SCTP_PEER_ADDR_PARAMS, &path, sizeof path);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		struct sctp_event event;
		memset(&event, 0, sizeof event);
		event.se_assoc_id = SCTP_FUTURE_ASSOC;
		event.se_on = 1;
		event.se_type = events[i];
		set(socket, SCTP_EVENT, &event, sizeof event);
	}
	if (usrsctp_bind(socket, (struct sockaddr *)&address, sizeof address) < 0)
		fail("bind");
}

static void open_socket(int interleaving)
{
	int size = BUFFER;
	one = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, received, NULL, 0, NULL);
	if (one == NULL)
		fail("socket");
	if (usrsctp_setsockopt(one, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0 ||
	    usrsctp_setsockopt(one, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) < 0)
		fail("buffers");
	prepare(one, interleaving);
}

static void begin_to_listen(void)
{
	listening = one;
	one = NULL;
	if (usrsctp_listen(listening, 1) < 0)
		fail("listen");
}

static void begin_to_connect(void)
{
	struct sockaddr_conn address = place();
	if (usrsctp_connect(one, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
		fail("connect");
}

static void accept_waiting(void)
{
	struct socket *accepted;
	if (listening == NULL || one != NULL)
		return;
	accepted = usrsctp_accept(listening, NULL, NULL);
	if (accepted != NULL) {
		one = accepted;
		usrsctp_set_non_blocking(one, 1);
		word("up");
	}
}

static void send_message(const uint8_t *bytes, size_t len)
{
	struct sctp_sendv_spa how;
	uint16_t stream;
	uint32_t value;

	memset(&how, 0, sizeof how);
	memcpy(&stream, bytes, 2);
	memcpy(&value, bytes + 4, 4);
	how.sendv_flags = SCTP_SEND_SNDINFO_VALID;
	how.sendv_sndinfo.snd_sid = ntohs(stream);
	how.sendv_sndinfo.snd_flags = SCTP_EOR | (bytes[2] & 1 ? SCTP_UNORDERED : 0);
	how.sendv_sndinfo.snd_ppid = htonl(53);
	if (bytes[3] != SCTP_PR_SCTP_NONE) {
		how.sendv_flags |= SCTP_SEND_PRINFO_VALID;
		how.sendv_prinfo.pr_policy = bytes[3];
		how.sendv_prinfo.pr_value = ntohl(value);
	}
	if (one == NULL ||
	    usrsctp_sendv(one, bytes + 8, len - 8, NULL, 0, &how, sizeof how, SCTP_SENDV_SPA, 0) < 0)
		frame('f', NULL, 0, NULL, 0);
}

static void reset_stream(const uint8_t *bytes)
{
	uint8_t room[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)];
	struct sctp_reset_streams *reset = (struct sctp_reset_streams *)room;
	uint16_t stream;

	memcpy(&stream, bytes, 2);
	memset(room, 0, sizeof room);
	reset->srs_flags = SCTP_STREAM_RESET_OUTGOING;
	reset->srs_number_streams = 1;
	reset->srs_stream_list[0] = ntohs(stream);
	if (one == NULL || usrsctp_setsockopt(one, IPPROTO_SCTP, SCTP_RESET_STREAMS, reset, sizeof room) < 0)
		frame('f', NULL, 0, NULL, 0);
}

static void tell_reductions(void)
{
	struct sctpstat counted;
	uint32_t times;
	usrsctp_get_stat(&counted);
	times = htonl(counted.sctps_ecnereducedcwnd);
	frame('w', NULL, 0, &times, 4);
}

static void let_pass(const uint8_t *bytes)
{
	uint32_t millis;
	memcpy(&millis, bytes, 4);
	for (millis = ntohl(millis); millis > 0;) {
		uint32_t step = millis < 10 ? millis : 10;
		now_ms += step;
		usrsctp_handle_timers(step);
		millis -= step;
	}
}

static void obey(int kind, const uint8_t *bytes, size_t len)
{
	switch (kind) {
	case 'n':
		usrsctp_sysctl_set_sctp_ecn_enable(bytes[0] & 2 ? 1 : 0);
		open_socket(bytes[0] & 1);
		break;
	case 'l': begin_to_listen(); break;
	case 'c': begin_to_connect(); break;
	case 'p': usrsctp_conninput(&one, bytes + 1, len - 1, bytes[0]); break;
	case 't': let_pass(bytes); break;
	case 's': send_message(bytes, len); break;
	case 'r': reset_stream(bytes); break;
	case 'w': tell_reductions(); break;
	case 'x':
		if (one != NULL)
			usrsctp_shutdown(one, SHUT_WR);
		break;
	default: errno = EINVAL; fail("an unknown request");
	}
	accept_waiting();
}

int main(void)
{
	static const size_t least[256] = {['n'] = 1, ['p'] = 1, ['t'] = 4, ['s'] = 9, ['r'] = 2};
	usrsctp_init_nothreads(0, packet_out, NULL);
	usrsctp_register_address(&one);
	usrsctp_sysctl_set_sctp_asconf_enable(0);
	usrsctp_sysctl_set_sctp_auth_enable(0);
	usrsctp_sysctl_set_sctp_blackhole(2);
	/* With the default of 512 chunks it drops, for ever, what would fill a hole before more of them. */
	usrsctp_sysctl_set_sctp_max_chunks_on_queue(10 * 1024);
	usrsctp_sysctl_set_sctp_assoc_rtx_max_default(1000);
	usrsctp_sysctl_set_sctp_path_rtx_max_default(1000);
	for (;;) {
		uint32_t len;
		uint8_t *bytes;
		int kind = getchar();
		if (kind == EOF || fread(&len, 4, 1, stdin) != 1)
			return 0;
		len = ntohl(len);
		bytes = malloc((size_t)len + 1);
		if (bytes == NULL || (len > 0 && fread(bytes, len, 1, stdin) != 1) || len < least[(uint8_t)kind]) {
			errno = EINVAL;
			fail("a broken request");
		}
		obey(kind, bytes, len);
		free(bytes);
		frame('d', NULL, 0, NULL, 0);
		fflush(stdout);
	}
}
