// SPDX-License-Identifier: MIT
/*
 * KvikIO, RAPIDS' C++ library over cuFile, unchanged: what it does with files
 * and GPU memory through our libcufile, byte by byte.
 *
 *	kvikio DIRECTORY
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <kvikio/batch.hpp>
#include <kvikio/buffer.hpp>
#include <kvikio/cufile/driver.hpp>
#include <kvikio/defaults.hpp>
#include <kvikio/file_handle.hpp>

using bytes = std::vector<std::uint8_t>;

#define MUST(condition)							\
	do {								\
		if (!(condition)) {					\
			std::fprintf(stderr, "line %d: %s\n", __LINE__,	\
				     #condition);			\
			std::exit(1);					\
		}							\
	} while (0)

/* Memory of GPU 0. */
class device {
	CUdeviceptr address = 0;
	std::size_t length;

public:
	explicit device(std::size_t size) : length(size)
	{
		MUST(cuMemAlloc(&address, size) == CUDA_SUCCESS);
		MUST(cuMemsetD8(address, 0xee, size) == CUDA_SUCCESS);
	}

	device(const device &) = delete;
	device &operator=(const device &) = delete;

	~device()
	{
		cuMemFree(address);
	}

	void *at(std::size_t offset = 0) const
	{
		return reinterpret_cast<void *>(address + offset);
	}

	void put(const bytes &data) const
	{
		MUST(cuMemcpyHtoD(address, data.data(), data.size()) ==
		     CUDA_SUCCESS);
	}

	bytes get(std::size_t offset, std::size_t size) const
	{
		bytes data(size);

		MUST(cuMemcpyDtoH(data.data(), address + offset, size) ==
		     CUDA_SUCCESS);
		return data;
	}
};

static bytes pattern(std::size_t size)
{
	bytes data(size);

	for (std::size_t i = 0; i < size; i++)
		data[i] = static_cast<std::uint8_t>(i * 7 + i / 4096 + size);
	return data;
}

static bytes part(const bytes &data, std::size_t offset, std::size_t size)
{
	return bytes(data.begin() + static_cast<long>(offset),
		     data.begin() + static_cast<long>(offset + size));
}

static bytes content(const std::string &path)
{
	std::ifstream file(path, std::ios::binary);

	return bytes(std::istreambuf_iterator<char>(file), {});
}

static void write_and_read(const std::string &path, std::size_t size)
{
	const bytes data = pattern(size);
	device from(size), to(size);

	from.put(data);
	{
		kvikio::FileHandle file(path, "w");

		MUST(file.pwrite(from.at(), size).get() == size);
	}
	MUST(content(path) == data);
	kvikio::FileHandle file(path, "r");

	MUST(file.read(to.at(), size, 0, 0) == size);
	MUST(to.get(0, size) == data);
}

static void read_parts(const std::string &path, const bytes &data)
{
	const std::size_t size = data.size();
	kvikio::FileHandle file(path, "r");
	device memory(size);

	kvikio::buffer_register(memory.at(), size);
	/* Many threads, each a task of its own. */
	MUST(file.pread(memory.at(), size, 0, 65536).get() == size);
	MUST(memory.get(0, size) == data);
	MUST(file.read(memory.at(), 5000, 777, 3) == 5000);
	MUST(memory.get(3, 5000) == part(data, 777, 5000));
	kvikio::buffer_deregister(memory.at());
}

static void read_in_a_stream(const std::string &path, const bytes &data)
{
	kvikio::FileHandle file(path, "r");
	device memory(data.size());
	CUstream stream;

	MUST(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
	auto future = file.read_async(memory.at(), 100000, 4096, 8192, stream);

	MUST(cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(memory.at(8192)), 1,
			     1, stream) == CUDA_SUCCESS);
	MUST(future.check_bytes_done() == 100000);
	bytes want = part(data, 4096, 100000);

	want[0] = 1;
	MUST(cuStreamSynchronize(stream) == CUDA_SUCCESS);
	MUST(memory.get(8192, 100000) == want);
	MUST(cuStreamDestroy(stream) == CUDA_SUCCESS);
}

static void read_a_batch(const std::string &path, const bytes &data)
{
	kvikio::FileHandle file(path, "r");
	std::vector<kvikio::BatchOp> operations;
	device memory(data.size());
	kvikio::BatchHandle batch(32);

	for (int i = 0; i < 32; i++)
		operations.push_back({ file, memory.at(), (31 - i) * 4096,
				       i * 8192, 4096, CUFILE_READ });
	batch.submit(operations);
	MUST(batch.status(32, 32).size() == 32);
	for (std::size_t i = 0; i < 32; i++)
		MUST(memory.get(i * 8192, 4096) ==
		     part(data, (31 - i) * 4096, 4096));
}

int main(int argc, char **argv)
{
	const std::string path = std::string(argc > 1 ? argv[1] : ".") +
				 "/kvikio.bin";
	const bytes data = pattern((3 << 20) + 12345);
	CUcontext context;

	MUST(cuInit(0) == CUDA_SUCCESS);
	MUST(cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
	MUST(cuCtxSetCurrent(context) == CUDA_SUCCESS);
	/* All of it through cuFile, small reads too. */
	kvikio::defaults::set_compat_mode(kvikio::CompatMode::OFF);
	kvikio::defaults::set_gds_threshold(0);
	for (std::size_t size : { std::size_t(1), std::size_t(4096),
				  std::size_t(65537), data.size() })
		write_and_read(path, size);
	read_parts(path, data);
	read_in_a_stream(path, data);
	read_a_batch(path, data);
	std::printf("kvikio: ok, cuFile %d\n", kvikio::cufile_version());
	return 0;
}
