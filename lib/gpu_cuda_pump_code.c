// SPDX-License-Identifier: MIT
/*
 * The pump itself, for NVIDIA's GPUs from Volta on: text that the driver
 * translates when it is loaded.  See pump.h for what both sides agreed on.
 *
 * 32 threads, a warp, serve a slot.  A warp reads 16 bytes for each thread 8
 * times before it writes anything: what counts is how long host memory takes to
 * answer.
 */
#include <stddef.h>

#include "gpu_cuda_code.h"
#include "gpu_cuda_pump.h"
#include "pump.h"

/* What the text has as numbers. */
_Static_assert(sizeof(struct pump_slot) == 128, "slot");
_Static_assert(offsetof(struct pump_slot, order) == 0, "order");
_Static_assert(PUMP_HOST_BITS == 47 && PUMP_LENGTH_BITS == 12 &&
	       PUMP_TAGS == 8, "order");
_Static_assert(offsetof(struct pump_slot, done) == 64, "done");
_Static_assert(offsetof(struct pump_slot, left) == 68, "left");
_Static_assert(offsetof(struct pump_board, started) == 4096, "started");
_Static_assert(PUMP_BLOCKS == 8, "blocks");
_Static_assert(PUMP_SLOTS / PUMP_BLOCKS * 32 <= 256, "threads");
_Static_assert(PUMPS == 2, "state");

const char gpu_cuda_pump_code[] =
GPU_CUDA_HEAD
/* Of each pump: the turn that ends, and how many orders were taken. */
".global .align 8 .b32 state[4];\n"
".visible .entry " GPU_CUDA_PUMP_NAME "(\n"
" .param .u64 p_board,\n"
" .param .u32 p_turn,\n"
" .param .u32 p_linger,\n"
" .param .u32 p_life,\n"
" .param .u32 p_mhz,\n"
" .param .u32 p_pump)\n"
".maxntid 256\n"
"{\n"
" .reg .pred %p, %miss, %gone, %first, %out, %in_head, %in_tail, %in<8>;\n"
" .reg .u32 %thread, %lane, %warp, %turn, %done, %order, %u, %ending, %taken, %seen, %mhz;\n"
" .reg .u32 %head_byte, %tail_byte, %a<8>, %b<8>, %c<8>, %d<8>;\n"
" .reg .u64 %board, %slot, %linger, %life, %begun, %now, %last, %mine, %rest, %tag, %state;\n"
" .reg .u64 %gpu, %host, %to, %from, %length, %head, %units, %tail, %i, %x, %y, %me;\n"
" .reg .u64 %src, %dst, %head_src, %head_dst, %tail_src, %tail_dst;\n"
" ld.param.u64 %board, [p_board];\n"
" ld.param.u32 %turn, [p_turn];\n"
" ld.param.u32 %mhz, [p_mhz];\n"
" ld.param.u32 %u, [p_linger];\n"
" mul.wide.u32 %linger, %u, %mhz;\n"
" ld.param.u32 %u, [p_life];\n"
" mul.wide.u32 %life, %u, %mhz;\n"
" mov.u32 %thread, %tid.x;\n"
" shr.u32 %warp, %thread, 5;\n"
" and.b32 %lane, %thread, 31;\n"
" cvt.u64.u32 %me, %lane;\n"
" setp.eq.u32 %first, %lane, 0;\n"
" ld.param.u32 %u, [p_pump];\n"
" mul.wide.u32 %state, %u, 8;\n"
" mov.u64 %x, state;\n"
" add.u64 %state, %state, %x;\n"
/* Neighbours are served by different processors. */
" mov.u32 %u, %ctaid.x;\n"
" shl.b32 %warp, %warp, 3;\n"
" add.u32 %warp, %warp, %u;\n"
" mul.wide.u32 %slot, %warp, 128;\n"
" add.u64 %slot, %slot, %board;\n"
" ld.relaxed.sys.global.u32 %done, [%slot+64];\n"
" mov.u64 %begun, %clock64;\n"
" mov.u64 %last, %begun;\n"
" mov.u64 %mine, %begun;\n"
" mul.wide.u32 %rest, %mhz, 32;\n"
" mov.u32 %seen, 0;\n"
" mul.wide.u32 %x, %u, 4;\n"
" add.u64 %x, %x, %board;\n"
" setp.eq.u32 %p, %thread, 0;\n"
" @%p st.relaxed.sys.global.u32 [%x+4096], %turn;\n"
"NEXT:\n"
" add.u32 %order, %done, 1;\n"
" and.b32 %u, %order, 7;\n"
" add.u32 %u, %u, 1;\n"
" cvt.u64.u32 %tag, %u;\n"
" shl.b64 %tag, %tag, 60;\n"
"LOOK:\n"
" bar.warp.sync 0xffffffff;\n"
" ld.relaxed.gpu.global.u32 %ending, [%state];\n"
" ld.relaxed.gpu.global.u32 %taken, [%state+4];\n"
" ld.acquire.sys.global.v2.u64 {%gpu, %host}, [%slot];\n"
" xor.b64 %gpu, %gpu, %tag;\n"
" xor.b64 %host, %host, %tag;\n"
" or.b64 %x, %gpu, %host;\n"
" shr.u64 %x, %x, 60;\n"
" setp.ne.u64 %miss, %x, 0;\n"
" vote.sync.any.pred %miss, %miss, 0xffffffff;\n"
" @!%miss bra CARRY;\n"
/* Not yet.  Go on while others have something to do. */
" mov.u64 %now, %clock64;\n"
" setp.ne.u32 %p, %taken, %seen;\n"
" @%p mov.u64 %last, %now;\n"
" mov.u32 %seen, %taken;\n"
" sub.u64 %x, %now, %begun;\n"
" sub.u64 %y, %now, %last;\n"
" setp.eq.u32 %gone, %ending, %turn;\n"
" setp.gt.or.u64 %gone, %x, %life, %gone;\n"
" setp.gt.or.u64 %gone, %y, %linger, %gone;\n"
" vote.sync.any.pred %gone, %gone, 0xffffffff;\n"
" sub.u64 %x, %now, %mine;\n"
" setp.gt.u64 %p, %x, %rest;\n"
/* Reads of all the others get through faster. */
" @%p nanosleep.u32 400;\n"
" @!%gone bra LOOK;\n"
" st.relaxed.gpu.global.u32 [%state], %turn;\n"
" bra LEAVE;\n"
"CARRY:\n"
" mov.u64 %mine, %clock64;\n"
" @%first red.relaxed.gpu.global.add.u32 [%state+4], 1;\n"
" bfe.u64 %length, %host, 47, 12;\n"
" add.u64 %length, %length, 1;\n"
" and.b64 %host, %host, 0x7fffffffffff;\n"
" bfe.u64 %x, %gpu, 59, 1;\n"
" setp.ne.u64 %out, %x, 0;\n"
" and.b64 %gpu, %gpu, 0x7ffffffffffffff;\n"
" selp.b64 %to, %host, %gpu, %out;\n"
" selp.b64 %from, %gpu, %host, %out;\n"
/* Single bytes up to an address that divides by 16, and after the last. */
" neg.s64 %head, %to;\n"
" and.b64 %head, %head, 15;\n"
" min.u64 %head, %head, %length;\n"
" sub.u64 %length, %length, %head;\n"
" shr.u64 %units, %length, 4;\n"
" and.b64 %tail, %length, 15;\n"
" add.u64 %head_src, %from, %me;\n"
" add.u64 %head_dst, %to, %me;\n"
" setp.lt.u64 %in_head, %me, %head;\n"
" @%in_head ld.relaxed.sys.global.u8 %head_byte, [%head_src];\n"
" add.u64 %to, %to, %head;\n"
" add.u64 %from, %from, %head;\n"
" shl.b64 %x, %units, 4;\n"
" add.u64 %x, %x, %me;\n"
" add.u64 %tail_src, %from, %x;\n"
" add.u64 %tail_dst, %to, %x;\n"
" setp.lt.u64 %in_tail, %me, %tail;\n"
" @%in_tail ld.relaxed.sys.global.u8 %tail_byte, [%tail_src];\n"
" mov.u64 %i, %me;\n"
"UNITS:\n"
" shl.b64 %x, %i, 4;\n"
" add.u64 %src, %from, %x;\n"
" add.u64 %dst, %to, %x;\n"
GPU_CUDA_LOAD(0, 0, 0) GPU_CUDA_LOAD(1, 32, 512)
GPU_CUDA_LOAD(2, 64, 1024) GPU_CUDA_LOAD(3, 96, 1536)
GPU_CUDA_LOAD(4, 128, 2048) GPU_CUDA_LOAD(5, 160, 2560)
GPU_CUDA_LOAD(6, 192, 3072) GPU_CUDA_LOAD(7, 224, 3584)
GPU_CUDA_STORE(0, 0) GPU_CUDA_STORE(1, 512)
GPU_CUDA_STORE(2, 1024) GPU_CUDA_STORE(3, 1536)
GPU_CUDA_STORE(4, 2048) GPU_CUDA_STORE(5, 2560)
GPU_CUDA_STORE(6, 3072) GPU_CUDA_STORE(7, 3584)
" add.u64 %i, %i, 256;\n"
" sub.u64 %x, %i, %me;\n"
" setp.lt.u64 %p, %x, %units;\n"
" @%p bra UNITS;\n"
" @%in_head st.global.u8 [%head_dst], %head_byte;\n"
" @%in_tail st.global.u8 [%tail_dst], %tail_byte;\n"
" mov.u32 %done, %order;\n"
" bar.warp.sync 0xffffffff;\n"
" @!%first bra NEXT;\n"
/* Bytes for the GPU only have to be where all of it sees them: half as long. */
" @%out fence.acq_rel.sys;\n"
" @!%out fence.acq_rel.gpu;\n"
" st.relaxed.sys.global.u32 [%slot+64], %done;\n"
" bra NEXT;\n"
"LEAVE:\n"
" bar.warp.sync 0xffffffff;\n"
" @%first st.release.sys.global.u32 [%slot+68], %turn;\n"
" ret;\n"
"}\n";
