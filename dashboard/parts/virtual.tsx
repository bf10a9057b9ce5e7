/** A list of which only the rows in view are in the document. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** Browsers draw nothing taller than about 33 million pixels; 100,000 rows of 40 are 4 million. */
const overscan = 8;

export interface Window {
	readonly from: number;
	readonly to: number;
}

/** Draws rows `from` to `to` of `count`; the page scrolls, so the list needs no height of its own. */
export function Virtual({
	count,
	rowHeight,
	moved,
	row,
}: {
	readonly count: number;
	readonly rowHeight: number;
	readonly moved: (window: Window) => void;
	readonly row: (index: number) => ComponentChildren;
}) {
	const place = useRef<HTMLDivElement>(null);
	const [window, setWindow] = useState<Window>({ from: 0, to: Math.min(count, 40) });
	const newest = useRef(moved);
	newest.current = moved;
	useEffect(() => {
		let frame = 0;
		function look(): void {
			frame = 0;
			if (place.current === null) return;
			const top = -place.current.getBoundingClientRect().top;
			const from = Math.max(0, Math.floor(top / rowHeight) - overscan);
			const to = Math.max(from, Math.min(count, Math.ceil((top + innerHeight) / rowHeight) + overscan));
			setWindow((before) => (before.from === from && before.to === to ? before : { from, to }));
			newest.current({ from, to });
		}
		function later(): void {
			if (frame === 0) frame = requestAnimationFrame(look);
		}
		look();
		addEventListener("scroll", later, { passive: true });
		addEventListener("resize", later);
		return () => {
			cancelAnimationFrame(frame);
			removeEventListener("scroll", later);
			removeEventListener("resize", later);
		};
	}, [count, rowHeight]);
	const indexes = Array.from({ length: Math.max(0, Math.min(window.to, count) - window.from) }, (_, offset) => window.from + offset);
	return (
		<div ref={place} class="virtual" role="rowgroup" style={{ height: `${count * rowHeight}px` }}>
			<div style={{ transform: `translateY(${window.from * rowHeight}px)` }} role="presentation">
				{indexes.map(row)}
			</div>
		</div>
	);
}
