// SPDX-License-Identifier: MIT
/*
 * What a stream runs when it comes to a piece of a request, for NVIDIA's GPUs
 * from Volta on: text that the driver translates when it is loaded.  It carries
 * out one order, which is looked at only then, and says so.  See struct
 * gpu_board for what both sides agreed on.
 *
 * A thread reads 16 bytes 8 times before it writes anything: what counts is how
 * long host memory takes to answer.  256 threads do so side by side, which makes
 * 32 KiB; where more blocks of threads are there, they take turns.
 *
 * Reads of the same place in host memory are served one after the other, at 1 us
 * each (H100): when all threads read the order themselves, 32 blocks took 500 us
 * to begin.  So each block has a copy, which four threads read at once.
 */
#include <stddef.h>

#include "gpu.h"
#include "gpu_cuda_carry.h"
#include "gpu_cuda_code.h"

/* What the text has as numbers. */
_Static_assert(offsetof(struct gpu_order, from) == 0, "from");
_Static_assert(offsetof(struct gpu_order, to) == 8, "to");
_Static_assert(offsetof(struct gpu_order, length) == 16, "length");
_Static_assert(sizeof(struct gpu_order) == 32, "order");
_Static_assert(GPU_BOARDS == 256, "arrived");
_Static_assert(GPU_CUDA_CARRY_THREADS == 256, "threads");
_Static_assert(GPU_CUDA_CARRY_SHARE == 32768, "share");

/* The n-th byte of this thread, if there are so many. */
#define LOAD_BYTE(n, at)						\
	" add.u64 %x, %i, " #at ";\n"					\
	" setp.lt.u64 %in" #n ", %x, %length;\n"			\
	" @%in" #n " ld.relaxed.sys.global.u8 %a" #n ", [%src+" #at "];\n"
#define STORE_BYTE(n, at)						\
	" @%in" #n " st.global.u8 [%dst+" #at "], %a" #n ";\n"

const char gpu_cuda_carry_code[] =
GPU_CUDA_HEAD
/* Of each board: how many blocks of threads have done their share. */
".global .align 4 .b32 arrived[256];\n"
".visible .entry " GPU_CUDA_CARRY_NAME "(\n"
" .param .u64 p_order,\n"
" .param .u64 p_done,\n"
" .param .u32 p_value,\n"
" .param .u32 p_board)\n"
".maxntid 256\n"
"{\n"
" .shared .align 8 .b64 mine[4];\n"
" .reg .pred %p, %odd, %in_head, %in_tail, %in<8>;\n"
" .reg .u32 %u, %last, %value, %head_byte, %tail_byte;\n"
" .reg .u32 %a<8>, %b<8>, %c<8>, %d<8>;\n"
" .reg .u64 %order, %from, %to, %length, %me, %first, %step, %i, %x, %units;\n"
" .reg .u64 %head, %tail, %src, %dst, %head_src, %head_dst, %tail_src, %tail_dst;\n"
" mov.u32 %u, %tid.x;\n"
" cvt.u64.u32 %me, %u;\n"
" setp.lt.u32 %p, %u, 4;\n"
" shl.b64 %x, %me, 3;\n"
" ld.param.u64 %order, [p_order];\n"
" add.u64 %order, %order, %x;\n"
" mov.u32 %u, %ctaid.x;\n"
" mul.wide.u32 %i, %u, 32;\n"
" add.u64 %order, %order, %i;\n"
" mov.u64 %i, mine;\n"
" add.u64 %i, %i, %x;\n"
" @%p ld.relaxed.sys.global.u64 %x, [%order];\n"
" @%p st.shared.u64 [%i], %x;\n"
" bar.sync 0;\n"
" ld.shared.u64 %from, [mine];\n"
" ld.shared.u64 %to, [mine+8];\n"
" ld.shared.u64 %length, [mine+16];\n"
/* Where this thread begins, and how much all of them do in a turn. */
" mul.wide.u32 %first, %u, 2048;\n"
" add.u64 %i, %first, %me;\n"
" mov.u32 %u, %nctaid.x;\n"
" mul.wide.u32 %step, %u, 2048;\n"
" xor.b64 %x, %from, %to;\n"
" and.b64 %x, %x, 15;\n"
" setp.ne.u64 %odd, %x, 0;\n"
" @%odd bra BYTES;\n"
/* Single bytes up to an address that divides by 16, and after the last. */
" neg.s64 %head, %to;\n"
" and.b64 %head, %head, 15;\n"
" min.u64 %head, %head, %length;\n"
" sub.u64 %length, %length, %head;\n"
" shr.u64 %units, %length, 4;\n"
" and.b64 %tail, %length, 15;\n"
" setp.lt.u64 %in_head, %i, %head;\n"
" setp.lt.u64 %in_tail, %i, %tail;\n"
" add.u64 %head_src, %from, %i;\n"
" add.u64 %head_dst, %to, %i;\n"
" @%in_head ld.relaxed.sys.global.u8 %head_byte, [%head_src];\n"
" add.u64 %from, %from, %head;\n"
" add.u64 %to, %to, %head;\n"
" shl.b64 %x, %units, 4;\n"
" add.u64 %x, %x, %i;\n"
" add.u64 %tail_src, %from, %x;\n"
" add.u64 %tail_dst, %to, %x;\n"
" @%in_tail ld.relaxed.sys.global.u8 %tail_byte, [%tail_src];\n"
" @%in_head st.global.u8 [%head_dst], %head_byte;\n"
" @%in_tail st.global.u8 [%tail_dst], %tail_byte;\n"
"UNITS:\n"
" setp.ge.u64 %p, %i, %units;\n"
" @%p bra DONE;\n"
" shl.b64 %x, %i, 4;\n"
" add.u64 %src, %from, %x;\n"
" add.u64 %dst, %to, %x;\n"
GPU_CUDA_LOAD(0, 0, 0) GPU_CUDA_LOAD(1, 256, 4096)
GPU_CUDA_LOAD(2, 512, 8192) GPU_CUDA_LOAD(3, 768, 12288)
GPU_CUDA_LOAD(4, 1024, 16384) GPU_CUDA_LOAD(5, 1280, 20480)
GPU_CUDA_LOAD(6, 1536, 24576) GPU_CUDA_LOAD(7, 1792, 28672)
GPU_CUDA_STORE(0, 0) GPU_CUDA_STORE(1, 4096)
GPU_CUDA_STORE(2, 8192) GPU_CUDA_STORE(3, 12288)
GPU_CUDA_STORE(4, 16384) GPU_CUDA_STORE(5, 20480)
GPU_CUDA_STORE(6, 24576) GPU_CUDA_STORE(7, 28672)
" add.u64 %i, %i, %step;\n"
" bra UNITS;\n"
/* Addresses that never divide by 16 at once: O_DIRECT at an odd place. */
"BYTES:\n"
" setp.ge.u64 %p, %i, %length;\n"
" @%p bra DONE;\n"
" add.u64 %src, %from, %i;\n"
" add.u64 %dst, %to, %i;\n"
LOAD_BYTE(0, 0) LOAD_BYTE(1, 256) LOAD_BYTE(2, 512) LOAD_BYTE(3, 768)
LOAD_BYTE(4, 1024) LOAD_BYTE(5, 1280) LOAD_BYTE(6, 1536) LOAD_BYTE(7, 1792)
STORE_BYTE(0, 0) STORE_BYTE(1, 256) STORE_BYTE(2, 512) STORE_BYTE(3, 768)
STORE_BYTE(4, 1024) STORE_BYTE(5, 1280) STORE_BYTE(6, 1536)
STORE_BYTE(7, 1792)
" add.u64 %i, %i, %step;\n"
" bra BYTES;\n"
/* The last block of threads that comes here says that all is done. */
"DONE:\n"
" bar.sync 0;\n"
" setp.ne.u64 %p, %me, 0;\n"
" @%p ret;\n"
" fence.acq_rel.sys;\n"
" ld.param.u32 %u, [p_board];\n"
" mul.wide.u32 %x, %u, 4;\n"
" mov.u64 %i, arrived;\n"
" add.u64 %x, %x, %i;\n"
" mov.u32 %u, %nctaid.x;\n"
" sub.u32 %last, %u, 1;\n"
/* Back to 0 with the last. */
" atom.acq_rel.gpu.global.inc.u32 %u, [%x], %last;\n"
" setp.ne.u32 %p, %u, %last;\n"
" @%p ret;\n"
" fence.acq_rel.sys;\n"
" ld.param.u64 %x, [p_done];\n"
" ld.param.u32 %value, [p_value];\n"
" st.relaxed.sys.global.u32 [%x], %value;\n"
" ret;\n"
"}\n";
