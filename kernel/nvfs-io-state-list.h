/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a request: NVFS_IO_STATE(name, states that may follow).
 * Included wherever something is made of each state, so there is no guard.
 *
 *	FREE -> INIT -> READY -> IN_PROGRESS
 *	IN_PROGRESS -> CALLBACK_REQ -> CALLBACK_END -> FREE
 *		(a completion is owed, then delivered)
 *	READY | IN_PROGRESS -> TERMINATE_REQ -> TERMINATED -> FREE
 *		(cancel, revoke, close, exit)
 *	INIT -> FREE	(refused before it was ready)
 */
NVFS_IO_STATE(IO_FREE, BIT(IO_INIT))
NVFS_IO_STATE(IO_INIT, BIT(IO_READY) | BIT(IO_FREE))
NVFS_IO_STATE(IO_READY, BIT(IO_IN_PROGRESS) | BIT(IO_TERMINATE_REQ))
NVFS_IO_STATE(IO_IN_PROGRESS, BIT(IO_CALLBACK_REQ) | BIT(IO_TERMINATE_REQ))
NVFS_IO_STATE(IO_TERMINATE_REQ, BIT(IO_TERMINATED))
NVFS_IO_STATE(IO_TERMINATED, BIT(IO_FREE))
NVFS_IO_STATE(IO_CALLBACK_REQ, BIT(IO_CALLBACK_END))
NVFS_IO_STATE(IO_CALLBACK_END, BIT(IO_FREE))
