/**
 * An image of one program that ends at once with 0, so that a container can be started on a host that has no image and no registry: 132 bytes
 * of machine code and headers, in a tar archive.
 */

const elfHeaderBytes = 64;
const programHeaderBytes = 56;
const loadAt = 0x40_0000n;
const blockBytes = 512;

/** exit(0), as the processor and Linux want it. */
const programs: Readonly<Record<string, { readonly machine: number; readonly code: readonly number[] }>> = {
	// mov eax, 60; xor edi, edi; syscall
	x86_64: { machine: 62, code: [0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05] },
	// mov x0, #0; mov x8, #93; svc #0
	aarch64: { machine: 183, code: [0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4] },
};

/** The program's path in the image. */
export const probeProgram = "/muster-probe";

/** The archive for a Linux engine of this architecture, as Docker calls it; undefined for others. */
export function probeArchive(architecture: string): Uint8Array | undefined {
	const program = programs[architecture];
	if (program === undefined) return undefined;
	const content = elf(program.machine, program.code);
	const padded = Buffer.alloc(Math.ceil(content.length / blockBytes) * blockBytes);
	padded.set(content);
	// Two empty blocks end an archive.
	return Buffer.concat([tarHeader(probeProgram.slice(1), content.length), padded, Buffer.alloc(2 * blockBytes)]);
}

function elf(machine: number, code: readonly number[]): Buffer {
	const size = elfHeaderBytes + programHeaderBytes + code.length;
	const file = Buffer.alloc(size);
	// 64 bits, little-endian, System V.
	file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
	file.writeUInt16LE(2, 16);
	file.writeUInt16LE(machine, 18);
	file.writeUInt32LE(1, 20);
	file.writeBigUInt64LE(loadAt + BigInt(elfHeaderBytes + programHeaderBytes), 24);
	file.writeBigUInt64LE(BigInt(elfHeaderBytes), 32);
	file.writeUInt16LE(elfHeaderBytes, 52);
	file.writeUInt16LE(programHeaderBytes, 54);
	file.writeUInt16LE(1, 56);
	// One segment: the whole file, readable and executable.
	file.writeUInt32LE(1, 64);
	file.writeUInt32LE(5, 68);
	for (const at of [80, 88]) file.writeBigUInt64LE(loadAt, at);
	for (const at of [96, 104]) file.writeBigUInt64LE(BigInt(size), at);
	file.writeBigUInt64LE(0x1000n, 112);
	file.set(code, elfHeaderBytes + programHeaderBytes);
	return file;
}

function tarHeader(name: string, size: number): Buffer {
	const header = Buffer.alloc(blockBytes);
	const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, "0")}\0`;
	header.write(name, 0);
	header.write(octal(0o755, 7), 100);
	header.write(octal(0, 7), 108);
	header.write(octal(0, 7), 116);
	header.write(octal(size, 11), 124);
	header.write(octal(0, 11), 136);
	// The sum is taken with eight spaces in its place.
	header.write("        ", 148);
	header.write("0", 156);
	header.write("ustar\x0000", 257);
	const sum = header.reduce((total, byte) => total + byte, 0);
	header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
	return header;
}
