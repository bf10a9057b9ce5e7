/** The first row of a table: a title for each column, and for a last one of buttons a title that only screen readers say. */
export function TableHead({ titles, hasActions = false }: { readonly titles: readonly string[]; readonly hasActions?: boolean }) {
	return (
		<thead>
			<tr>
				{titles.map((title) => (
					<th key={title} scope="col">
						{title}
					</th>
				))}
				{hasActions && (
					<th scope="col">
						<span class="sr">Actions</span>
					</th>
				)}
			</tr>
		</thead>
	);
}
