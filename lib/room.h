/* SPDX-License-Identifier: MIT */
/*
 * How many CPUs other threads want: of other programs, and of this one but for those at
 * requests of 32 KiB or more.  A thread that shares one with them loses it for
 * milliseconds, in the middle of its part of a request as well as while it waits, and
 * the whole request waits for it.
 */
#ifndef LIBNVFS_ROOM_H
#define LIBNVFS_ROOM_H

/*
 * This process may use @cpus.  If the machine has more, who runs on those can't be
 * told from who runs on these: then others never want any.
 */
void room_open(unsigned int cpus);
/*
 * Look, unless that was just done, how many threads of the machine run or want to;
 * @ours are this library's, of which @naps may be asleep for a moment.
 */
void room_look(unsigned int ours, unsigned int naps);
/* So many were others' all the time lately; 0 where that is not known. */
unsigned int room_others(void);

/*
 * Puts something in the place of the kernel's count, for tests; NULL puts it back.
 * A negative count: not told.
 */
void room_set_running(int (*running)(void));

#endif /* LIBNVFS_ROOM_H */
